"""Words that say what the kernel's tensors and sizes are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiledsl.frontend.parameters import const_size, dynamic_size
from tiledsl.frontend.proxies import Scalar, describe, index_of, operand
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor as TensorProxy
from tiledsl.frontend.tensors import TensorType
from tiledsl.frontend.tracer import tracer_of
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.nodes import Buffer, Space


def sizes(shape: Any, word: str, *, least: int = 1) -> tuple[int | Scalar, ...]:
    """`shape` as a tuple of integers, at least `least`, and traced sizes. Raises TileError TD0221 for anything else."""
    items = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    out: list[int | Scalar] = []
    for item in items:
        if isinstance(item, (tuple, list, str)):
            raise fail("TD0221", word=word, value=describe(item))
        size = operand(item)
        index_of(size, f"a size in {word}")
        if isinstance(size, Scalar) and size.reads:
            raise fail("TD0221", word=word, value=describe(item))
        if not isinstance(size, Scalar) and size < least:
            raise fail("TD0221", word=word, value=size)
        out.append(size if isinstance(size, Scalar) else int(size))
    return tuple(out)


def const_sizes(shape: Any, word: str) -> tuple[int, ...]:
    """`shape` as positive integers. Raises TileError TD0220 for a traced size, TD0221 for one that is not positive."""
    out: list[int] = []
    for size in sizes(shape, word):
        if isinstance(size, Scalar):
            raise fail("TD0220", word=word, value=describe(size))
        out.append(size)
    return tuple(out)


class _TensorWord:
    """`T.Tensor(shape, dtype)` or `T.Tensor[shape, dtype]`: a row-major contiguous tensor in global memory.

    Extents are integers, sizes of `T.const`, or run-time sizes of `T.dynamic`.
    """

    makes_tensor_types = True

    def __call__(self, shape: Any, dtype: Any = "float32", data: Any = None) -> TensorType:
        if data is not None:
            raise fail("TD0103", word="Tensor(shape, dtype, data)", hint="use T.view or T.reshape")
        return TensorType(sizes(shape, "T.Tensor"), dtype_named(dtype))

    def __getitem__(self, key: Any) -> TensorType:
        if not (isinstance(key, tuple) and len(key) == 2):
            raise fail("TD0124", name="T.Tensor[...]", annotation=describe(key))
        return self(*key)


class _StridedTensorWord:
    """`T.StridedTensor(shape, strides, dtype)`: a tensor in global memory with strides in elements."""

    makes_tensor_types = True

    def __call__(self, shape: Any, strides: Any, dtype: Any = "float32") -> TensorType:
        extents, steps = sizes(shape, "T.StridedTensor"), sizes(strides, "T.StridedTensor", least=0)
        if len(extents) != len(steps):
            raise fail("TD0222", shape=len(extents), strides=len(steps))
        return TensorType(extents, dtype_named(dtype), steps)


Tensor = _TensorWord()
StridedTensor = _StridedTensorWord()


def dynamic(names: str, dtype: Any = "int32") -> Any:
    """A size that is known only when the kernel runs; the same name is the same size. `"m, n"` gives several."""
    if not isinstance(names, str) or not all(n.isidentifier() for n in _split(names)):
        raise fail("TD0142", word="T.dynamic", value=describe(names))
    if not dtype_named(dtype).is_integer:
        raise fail("TD0209", value=str(dtype), use="the dtype of a size")
    found = [dynamic_size(n) for n in _split(names)]
    return found[0] if len(found) == 1 else tuple(found)


def const(names: str) -> Any:
    """Sizes bound from the arguments at the call: `M, N = T.const("M, N")`, then `A: T.Tensor((M, N), ...)`."""
    tracer = tracer_of("T.const")
    if not isinstance(names, str) or not all(n.isidentifier() for n in _split(names)):
        raise fail("TD0142", word="T.const", value=describe(names))
    if tracer.frame is not None:
        raise fail("TD0143", word="T.const")
    found = [const_size(tracer, n) for n in _split(names)]
    return found[0] if len(found) == 1 else tuple(found)


def _split(names: str) -> Sequence[str]:
    return names.replace(",", " ").split() or [""]


def empty(shape: Any, dtype: Any = "float32") -> TensorProxy:
    """A tensor in global memory that the call allocates; `return` it to make it a result."""
    tracer = tracer_of("T.empty")
    if tracer.frame is not None:
        raise fail("TD0143", word="T.empty")
    extents = TensorType(sizes(shape, "T.empty"), dtype_named(dtype)).extents()
    buffer = Buffer(tracer.take_name("output"), extents, dtype_named(dtype), Space.GLOBAL)
    tracer.empties.append(buffer)
    return TensorProxy(buffer)
