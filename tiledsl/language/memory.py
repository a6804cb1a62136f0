"""Words that allocate memory, and views of it."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.packed import WIDER, Packed, declared, problem
from tiledsl.frontend.proxies import Variable, converted, describe
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor, TensorType
from tiledsl.frontend.tracer import tracer_of
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.nodes import Alloc, Buffer, Space
from tiledsl.language.aliases import alias
from tiledsl.language.sizes import const_sizes, sizes


def _allocate(word: str, shape: Any, dtype: Any, space: Space, default: str) -> Tensor | Packed:
    tracer = tracer_of(word)
    tracer.launch(word)
    if tracer.enclosing("parallel") is not None and space is not Space.LOCAL:
        raise fail("TD0129", word=word)
    buffer = Buffer(tracer.take_name(default), const_sizes(shape, word), dtype_named(dtype), space)
    if space is Space.LOCAL and buffer.dtype in WIDER:
        hint = f"allocate {WIDER[buffer.dtype]}, which the numbers are read as"
        raise problem(buffer, "so that a thread could store none of its own", hint)
    held, tensor = declared(buffer, tracer.frame)
    tracer.emit(Alloc(held, span=tracer.here()))
    return tensor


def alloc_shared(shape: Any, dtype: Any, scope: str = "shared.dyn") -> Tensor | Packed:
    """A tile in shared memory, which all threads of the block see. The layout is inferred.

    `A_shared = T.alloc_shared((64, 32), T.float16)`: constant extents (TD0220, TD0221), another `scope` is TD0226.
    """
    if scope not in ("shared", "shared.dyn"):
        raise fail(
            "TD0226", word="T.alloc_shared", name="scope", value=describe(scope), allowed="'shared', 'shared.dyn'"
        )
    return _allocate("T.alloc_shared", shape, dtype, Space.SHARED, "shared")


def alloc_fragment(shape: Any, dtype: Any, scope: str = "local.fragment") -> Tensor | Packed:
    """A tile spread over the registers of the block's threads. The layout is inferred.

    `C_local = T.alloc_fragment((64, 64), T.float32)`: constant extents (TD0220, TD0221), another `scope` is TD0226.
    """
    if scope != "local.fragment":
        raise fail("TD0226", word="T.alloc_fragment", name="scope", value=describe(scope), allowed="'local.fragment'")
    return _allocate("T.alloc_fragment", shape, dtype, Space.FRAGMENT, "fragment")


def alloc_local(shape: Any, dtype: Any, scope: str = "local") -> Tensor | Packed:
    """An array private to each thread, in registers where its indices are constants.

    `a_local = T.alloc_local((8,), T.float16)`: constant extents (TD0220, TD0221), another `scope` is TD0226.
    """
    if scope != "local":
        raise fail("TD0226", word="T.alloc_local", name="scope", value=describe(scope), allowed="'local'")
    return _allocate("T.alloc_local", shape, dtype, Space.LOCAL, "local")


def alloc_var(dtype: Any, *args: Any, scope: str = "local.var", init: Any = None) -> Variable:
    """A mutable scalar, private to each thread. After `v = T.alloc_var(T.int32, 0)`, or `init=0`, `v = e` stores to it.

    In a point of a T.Parallel loop it has the value that this point gave it, and none after the loop: TileError TD0330
    where another is read, which would depend on the points that a thread is dealt. TD0226 for two values.
    """
    tracer = tracer_of("T.alloc_var")
    tracer.launch("T.alloc_var")
    values = [a for a in args if not (isinstance(a, str) and a == "local.var")] + ([] if init is None else [init])
    if len(values) > 1 or scope != "local.var":
        raise fail("TD0226", word="T.alloc_var", name="init", value=describe(args), allowed="one initial value")
    type_ = dtype_named(dtype)
    start = converted(values[0], type_) if values else None
    buffer = Buffer(tracer.take_name("var"), (), type_, Space.VAR)
    tracer.emit(Alloc(buffer, start, span=tracer.here()))
    assert tracer.frame is not None
    return Variable(buffer, tracer.frame)


def alloc_global(shape: Any, dtype: Any) -> Tensor | Packed:
    """A workspace in global memory, allocated for the call and shared by all launches of the kernel.

    `partial = T.alloc_global((M, N), T.float32)`. Extents may be sizes of the call (TD0221).
    """
    tracer = tracer_of("T.alloc_global")
    type_ = dtype_named(dtype)
    extents = TensorType(sizes(shape, "T.alloc_global"), type_).extents()
    held, tensor = declared(Buffer(tracer.take_name("workspace"), extents, type_, Space.GLOBAL))
    tracer.scratch.append(held)
    return tensor


def view(src: Tensor | Packed, shape: Any = None, dtype: Any = None) -> Tensor | Packed:
    """The same bits in row-major order with another shape or dtype; nothing is copied.

    `bits = T.view(A_shared, dtype=T.uint16)`. Raises TileError TD0235 for what is no tensor, TD0237 for another number
    of bits.
    """
    return alias("T.view", src, shape, dtype)


def reshape(src: Tensor | Packed, shape: Any) -> Tensor | Packed:
    """The same elements in row-major order with another shape; nothing is copied.

    `flat = T.reshape(A_shared, (64 * 32,))`. Raises TileError TD0235 for what is no tensor, TD0237 for another number
    of elements.
    """
    return alias("T.reshape", src, shape, None)
