"""Words that say what the kernel's tensors and sizes are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiledsl.frontend.packed import Packed, declared
from tiledsl.frontend.parameters import buffer_of, const_size, dynamic_size
from tiledsl.frontend.pointers import Pointer, PointerType
from tiledsl.frontend.proxies import describe
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor as TensorProxy
from tiledsl.frontend.tensors import TensorType
from tiledsl.frontend.tracer import tracer_of
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.nodes import Buffer, Space
from tiledsl.language.aliases import alias
from tiledsl.language.sizes import sizes


class _TensorWord:
    """A row-major contiguous tensor in global memory, of `shape` and `dtype`: `A: T.Tensor((M, K), T.float16)`.

    `A: T.Tensor[(M, K), T.float16]` and `A: T.Buffer((M, K), T.float16)` are the same. Extents are integers, sizes of
    T.const, or run-time sizes of T.dynamic (TD0221); any dtype whose elements fill bytes. In a T.Kernel block
    `T.Tensor((K, M), T.float16, A.data)` is `T.view(A, (K, M), T.float16)`: the same bits in row-major order, nothing
    is copied. Raises TileError TD0124 for brackets without shape and dtype.
    """

    makes_tensor_types = True

    def __call__(self, shape: Any, dtype: Any = "float32", data: Any = None) -> TensorType | TensorProxy | Packed:
        if data is not None:
            return alias("T.Tensor", data, shape, dtype)
        return TensorType(sizes(shape, "T.Tensor"), dtype_named(dtype))

    def __getitem__(self, key: Any) -> TensorType:
        if not (isinstance(key, tuple) and len(key) == 2):
            raise fail("TD0124", name="T.Tensor[...]", annotation=describe(key))
        found = self(*key)
        assert isinstance(found, TensorType)
        return found


class _StridedTensorWord:
    """A tensor in global memory with strides in elements, one for each dimension (TD0222); a stride of 0 repeats.

    `A: T.StridedTensor((M, K), (2 * K, 1), T.float16)`.
    """

    makes_tensor_types = True

    def __call__(self, shape: Any, strides: Any, dtype: Any = "float32") -> TensorType:
        extents, steps = sizes(shape, "T.StridedTensor"), sizes(strides, "T.StridedTensor", least=0)
        if len(extents) != len(steps):
            raise fail("TD0222", shape=len(extents), strides=len(steps))
        return TensorType(extents, dtype_named(dtype), steps)


ptr = PointerType()
Tensor = _TensorWord()
StridedTensor = _StridedTensorWord()


def make_tensor(pointer: Any, shape: Any, dtype: Any = None, strides: Any = None) -> TensorProxy | Packed:
    """The tensor that a pointer of the call (T.ptr) is: once, before the T.Kernel block. `strides` are in elements.

    Sizes are constants, scalar parameters, and sizes that other tensors have. The caller passes a tensor of any shape
    with the same dtype and as much memory (TD0636). In a T.Kernel block, of a tensor or its `.data`, it is T.view.
    Raises TileError TD0103 for a second one of a pointer, TD0143 for one in the block, TD0222 for too few strides,
    TD0226 for another dtype than the pointer's. `A = T.make_tensor(p, (n, 64), "float16", strides=(128, 1))`.
    """
    word = "T.make_tensor"
    tracer = tracer_of(word)
    if not isinstance(pointer, Pointer):
        if strides is not None:
            raise fail("TD0226", word=word, name="strides", value=describe(strides), allowed="those of a T.ptr only")
        return alias(word, pointer, shape, dtype)
    if tracer.frame is not None:
        raise fail("TD0143", word=word)
    if pointer.name in tracer.params:
        hint = "use T.view in the T.Kernel block for the same memory with another shape"
        raise fail("TD0103", word=f"make_tensor of '{pointer.name}' twice", hint=hint)
    known = pointer.type.dtype
    type_ = (known or dtype_named("float32")) if dtype is None else dtype_named(dtype)
    if known is not None and type_ is not known:
        raise fail("TD0226", word=word, name="dtype", value=str(type_), allowed=f"{known}, that of the pointer")
    extents = sizes(shape, word)
    steps = None if strides is None else sizes(strides, word, least=0)
    if steps is not None and len(extents) != len(steps):
        raise fail("TD0222", shape=len(extents), strides=len(steps))
    held, tensor = declared(buffer_of(pointer.name, TensorType(extents, type_, steps)))
    tracer.params[pointer.name] = held
    tracer.pointers[held] = None
    return tensor


def dynamic(names: str, dtype: Any = "int32") -> Any:
    """A size that is known only when the kernel runs; the same name is the same size. `"m, n"` gives several.

    Of an integer dtype (TD0209); TD0142 for what is no name. `m, n = T.dynamic("m, n")`, or `m = T.symbolic("m")`.
    """
    if not isinstance(names, str) or not all(n.isidentifier() for n in _split(names)):
        raise fail("TD0142", word="T.dynamic", value=describe(names))
    if not dtype_named(dtype).is_integer:
        raise fail("TD0209", value=str(dtype), use="the dtype of a size")
    found = [dynamic_size(n) for n in _split(names)]
    return found[0] if len(found) == 1 else tuple(found)


def const(names: str) -> Any:
    """Sizes bound from the arguments at the call, ahead of the tensors that have them as dimensions.

    `M, N = T.const("M, N")`, then the tensor `A: T.Tensor((M, N), T.float16)` in the body. Raises TileError TD0142 for
    what is no name, TD0143 in a T.Kernel block.
    """
    tracer = tracer_of("T.const")
    if not isinstance(names, str) or not all(n.isidentifier() for n in _split(names)):
        raise fail("TD0142", word="T.const", value=describe(names))
    if tracer.frame is not None:
        raise fail("TD0143", word="T.const")
    found = [const_size(tracer, n) for n in _split(names)]
    return found[0] if len(found) == 1 else tuple(found)


def _split(names: str) -> Sequence[str]:
    return names.replace(",", " ").split() or [""]


def empty(shape: Any, dtype: Any = "float32") -> TensorProxy | Packed:
    """A tensor in global memory that the call allocates; `return` it to make it a result.

    `D = T.empty((M, N), T.float32)`, ahead of the T.Kernel block (TD0143).
    """
    tracer = tracer_of("T.empty")
    if tracer.frame is not None:
        raise fail("TD0143", word="T.empty")
    extents = TensorType(sizes(shape, "T.empty"), dtype_named(dtype)).extents()
    held, tensor = declared(Buffer(tracer.take_name("output"), extents, dtype_named(dtype), Space.GLOBAL))
    tracer.empties.append(held)
    return tensor
