"""What a compiled kernel expects of its caller, as plain data that a file can hold."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    **{"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod},
    **{">>": operator.rshift, "<<": operator.lshift, "&": operator.and_, "min": min, "max": max},
    "div": operator.floordiv,  # truncating and floor division agree: passes use these only where operands are >= 0
    "rem": operator.mod,
}

# A number known at launch: a constant, the name of a size or scalar parameter, or an operation on two of them.
SizeExpr: TypeAlias = "int | str | tuple[str, SizeExpr, SizeExpr]"


def evaluate(e: SizeExpr, values: Mapping[str, int]) -> int:
    """The value of `e`; division and remainder are floor operations. Raises KeyError for an unbound name."""
    match e:
        case int():
            return e
        case str():
            return values[e]
        case (op, left, right):
            a, b = evaluate(left, values), evaluate(right, values)
            if op in _OPERATIONS:
                return _OPERATIONS[op](a, b)
    raise TypeError(f"not a size expression: {e!r}")


def show(e: SizeExpr) -> str:
    """`e` as a user would write it."""
    match e:
        case (("min" | "max" | "div" | "rem") as op, a, b):
            return f"{op}({show(a)}, {show(b)})"
        case (op, a, b):
            return f"({show(a)} {op} {show(b)})"
    return str(e)


@dataclass(frozen=True, slots=True)
class TensorParameter:
    """A tensor of `dtype` whose extents are known at launch. `strides` (elements): None means row-major contiguous.

    `result` is its place among the values that the call returns, if the host allocates it: None if it does not.
    `written`: some entry stores to it. `pointer`: what is passed is memory, of any shape.
    """

    name: str
    dtype: str
    shape: tuple[SizeExpr, ...]
    strides: tuple[SizeExpr, ...] | None = None
    result: int | None = None
    written: bool = False
    pointer: bool = False


@dataclass(frozen=True, slots=True)
class ScalarParameter:
    name: str
    dtype: str


Parameter: TypeAlias = TensorParameter | ScalarParameter


@dataclass(frozen=True, slots=True)
class MapParameter:
    """A tensor map: what the copy engine is told of the memory of `tensor`, seen with that dtype, shape and strides.

    `box` are the elements of one copy, `swizzle` its pattern in shared memory, in bytes (`tensor_map.py`). With a
    `window` (kernel, stride, dilation, padding of a filter) it takes pixels and channels of images instead.
    """

    tensor: str
    dtype: str
    shape: tuple[SizeExpr, ...]
    box: tuple[int, ...]
    swizzle: int = 0
    strides: tuple[SizeExpr, ...] | None = None
    window: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """One `__global__` function. Its parameters are `maps`, then `arguments`: names of tensors, scalars and sizes.

    `grid` has one to three extents; an extent of 0 means that nothing is launched. Blocks of one `cluster` run together
    (empty: each alone). `shared_bytes` is dynamic; `shared` says what lies there, for reports: name, offset, bytes,
    bytes of one version and bytes of one element of each tile. `dependent`: it may start before the kernel before it in
    the stream has ended, and waits for it by itself. `block` is the shape of its blocks, if they have more than one
    dimension. `users`: CUDA text of the user's own, which does not run on the CPU. `window` is a tensor and the share
    of it that the L2 cache is to keep.
    """

    name: str
    grid: tuple[SizeExpr, ...]
    threads: int
    shared_bytes: int
    arguments: tuple[str, ...]
    shared: tuple[tuple[str, int, int, int, int], ...] = ()
    maps: tuple[MapParameter, ...] = ()
    cluster: tuple[int, ...] = ()
    dependent: bool = False
    block: tuple[int, ...] = ()
    users: bool = False
    window: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """`parameters` in the order of the call; `sizes` with their dtype, bound from the tensors' shapes;
    `scratch` is global memory that the host allocates for the duration of the call."""

    name: str
    parameters: tuple[Parameter, ...]
    sizes: tuple[ScalarParameter, ...]
    scratch: tuple[TensorParameter, ...]
    entries: tuple[EntryPoint, ...]
