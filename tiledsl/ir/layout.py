"""Layouts: which register of which thread, or which address of shared memory, holds an element of a tile.

Register layouts are lists of mixed-radix digits over the row-major linear index of the tile; shared layouts are digits
per dimension with strides, and one optional XOR swizzle. The NumPy tables of `analysis/layout_tables.py`, derived from
here, are the ground truth for equality, containment and injectivity.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any

from tiledsl.ir.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Digit:
    """One digit of a thread, register or coordinate number; each step moves the target by `stride`.

    In a Fragment the target is the linear index of the element, and stride 0 means replication.
    """

    extent: int
    stride: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """A tile of `shape` in registers. Digits are most significant first.

    The digits with stride > 0, of threads and regs together, are a mixed radix of the row-major linear index. Their
    product may exceed prod(shape): the positions past the end hold nothing (a ragged tile). Digits of stride 0 in
    `threads` are replicas: every value of such a digit holds the same element in the same register.
    """

    shape: tuple[int, ...]
    threads: tuple[Digit, ...]
    regs: tuple[Digit, ...]

    @property
    def num_threads(self) -> int:
        return prod(d.extent for d in self.threads)

    @property
    def num_regs(self) -> int:
        """Elements that each thread holds."""
        return prod(d.extent for d in self.regs)

    @property
    def replication(self) -> int:
        return prod(d.extent for d in self.threads if d.stride == 0)

    @property
    def padded_size(self) -> int:
        """Positions of the mixed radix; more than prod(shape) if the tile is ragged."""
        return self.num_regs * self.num_threads // self.replication

    @property
    def is_ragged(self) -> bool:
        return self.padded_size != prod(self.shape)

    def __matmul__(self, inner: Fragment) -> Fragment:
        return compose(self, inner)


def read_digits(number: Any, digits: Sequence[Digit]) -> Any:
    """Where `number`, written in the digits, moves the target. Works on ints, NumPy arrays and `Expr`."""
    total: Any = 0
    for i, d in enumerate(reversed(digits)):
        last = i == len(digits) - 1
        if d.stride:
            total = total + (number if last else number % d.extent) * d.stride
        number = number // d.extent
    return total


def linear_at(f: Fragment, thread: Any, reg: Any) -> Any:
    """The linear index of the element in register `reg` of `thread`; both must be in range."""
    return read_digits(thread, f.threads) + read_digits(reg, f.regs)


def _pick(linear: Any, digits: Sequence[Digit], replica: Any) -> Any:
    number: Any = 0
    replicas = prod(d.extent for d in digits if d.stride == 0)
    for d in digits:
        if d.stride == 0:
            replicas //= d.extent
            digit = replica // replicas % d.extent
        else:
            digit = linear // d.stride % d.extent
        number = number * d.extent + digit
    return number


def thread_of(f: Fragment, linear: Any, replica: Any = 0) -> Any:
    """The thread that holds replica number `replica` (0 .. replication - 1) of element `linear`."""
    return _pick(linear, f.threads, replica)


def reg_of(f: Fragment, linear: Any) -> Any:
    """The register that holds element `linear`, the same in each of its threads."""
    return _pick(linear, f.regs, 0)


def unravel(linear: Any, shape: Sequence[int]) -> tuple[Any, ...]:
    """Row-major coordinates. The first is not reduced, so a ragged position is out of bounds there."""
    out: list[Any] = []
    for i, extent in enumerate(reversed(shape)):
        out.append(linear if i == len(shape) - 1 else linear % extent)
        linear = linear // extent
    return tuple(reversed(out))


def ravel(coords: Sequence[Any], shape: Sequence[int]) -> Any:
    """The row-major linear index of `coords`."""
    linear: Any = 0
    for c, extent in zip(coords, shape):
        linear = linear * extent + c
    return linear


def fragment(dims: str, threads: str, regs: str) -> Fragment:
    """The notation of the instruction manuals: `fragment("mk", "m8 k4*2", "k2*8 m2*8 k2")`.

    A digit is <dim><extent>[*<stride>]: it moves that dimension by `stride` (1 if absent) per step; `r<n>` in
    `threads` replicates n times. The shape is the product of the extents along each dimension.
    """

    def parse(text: str) -> list[tuple[str, int, int]]:
        found = re.findall(r"([a-z])(\d+)(?:\*(\d+))?", text)
        return [(d, int(n), int(s or 1)) for d, n, s in found]

    ts, rs = parse(threads), parse(regs)
    shape = tuple(prod(n for d, n, _ in ts + rs if d == dim) for dim in dims)
    step = {dim: prod(shape[i + 1 :]) for i, dim in enumerate(dims)} | {"r": 0}

    def digits(parsed: list[tuple[str, int, int]]) -> tuple[Digit, ...]:
        return tuple(Digit(n, s * step[d]) for d, n, s in parsed)

    return Fragment(shape, digits(ts), digits(rs))


def split_digits(digits: Sequence[Digit], shape: Sequence[int]) -> tuple[Digit, ...] | None:
    """The same digits, cut so that none moves across a boundary between dimensions; None where one cannot be cut."""
    out: list[Digit] = []
    inner = [prod(shape[i + 1 :]) for i in range(len(shape))]
    for d in digits:
        if d.stride == 0:
            out.append(d)
            continue
        low, high = d.stride, d.stride * d.extent
        cuts = [c for c in inner if low < c < high]
        pieces: list[Digit] = []
        for c in sorted(cuts):
            if c % low or (high // low) % (c // low):
                return None
            pieces.append(Digit(c // low, low))
            low = c
        if high % low:
            return None
        pieces.append(Digit(high // low, low))
        out += reversed(pieces)
    return tuple(out)


def dim_of(d: Digit, shape: Sequence[int]) -> tuple[int, int]:
    """The dimension that a digit moves and its stride there. The digit must not cross a boundary."""
    inner = 1
    for i in reversed(range(len(shape))):
        if d.stride < inner * shape[i] or i == 0:
            return i, d.stride // inner
        inner *= shape[i]
    raise ValueError("a tile of rank 0 has no digits")


def compose(outer: Fragment, inner: Fragment) -> Fragment:
    """`inner` repeated in the arrangement of `outer`, whose digits move by whole inner tiles (Kronecker product)."""
    shape = tuple(a * b for a, b in zip(outer.shape, inner.shape, strict=True))

    def stride(dim: int, count: int) -> int:
        return count * prod(shape[dim + 1 :])

    def moved(digits: Sequence[Digit], old: Sequence[int], scale: Sequence[int]) -> tuple[Digit, ...]:
        cut = split_digits(digits, old)
        if cut is None:
            raise ValueError(f"digits {digits} cross the dimensions of {tuple(old)}")
        out: list[Digit] = []
        for d in cut:
            dim, count = dim_of(d, old)
            out.append(Digit(d.extent, 0 if d.stride == 0 else stride(dim, count * scale[dim])))
        return tuple(out)

    ones = (1,) * len(shape)
    return Fragment(
        shape,
        moved(outer.threads, outer.shape, inner.shape) + moved(inner.threads, inner.shape, ones),
        moved(outer.regs, outer.shape, inner.shape) + moved(inner.regs, inner.shape, ones),
    )


def fully_replicated(shape: Sequence[int], threads: int) -> Fragment:
    """Every thread holds the whole tile, in row-major order."""
    return Fragment(tuple(shape), (Digit(threads, 0),), (Digit(prod(shape), 1),))


def partition(shape: Sequence[int], threads: int, width: int) -> Fragment:
    """Runs of `width` elements dealt to the threads in turn: thread = linear // width % threads.

    Ragged where prod(shape) is no multiple of threads * width.
    """
    rounds = -(-prod(shape) // (threads * width))
    return Fragment(tuple(shape), (Digit(threads, width),), (Digit(rounds, threads * width), Digit(width, 1)))


@dataclass(frozen=True, slots=True)
class Swizzle:
    """x -> x ^ (((x >> (base + shift)) & (2**bits - 1)) << base), on element offsets; an involution.

    Source: CuTe `Swizzle<B, M, S>`; in bytes the hardware's 32/64/128-byte modes are Swizzle(1|2|3, 4, 3).
    """

    bits: int
    base: int
    shift: int

    def __call__(self, x: Any) -> Any:
        """Works on non-negative ints, NumPy arrays and `Expr`."""
        return x ^ (x // (1 << (self.base + self.shift)) % (1 << self.bits) * (1 << self.base))


@dataclass(frozen=True, slots=True)
class Layout:
    """A tile of `shape` in shared memory: per dimension digits (most significant first) with strides in elements.

    `size` is the number of elements from the first to past the last, padding included.
    """

    shape: tuple[int, ...]
    dims: tuple[tuple[Digit, ...], ...]
    size: int
    swizzle: Swizzle | None = None

    def offset(self, coords: Sequence[Any]) -> Any:
        """The element offset of `coords`. Works on ints, NumPy arrays and `Expr`."""
        total: Any = 0
        for c, digits in zip(coords, self.dims, strict=True):
            total = total + read_digits(c, digits)
        return self.swizzle(total) if self.swizzle else total


def row_major(shape: Sequence[int], pad: int = 0) -> Layout:
    """Contiguous rows, each followed by `pad` unused elements."""
    steps = [prod(shape[i + 1 :]) for i in range(len(shape))]
    if pad and len(shape) > 1:
        row = shape[-1] + pad
        steps = [prod(shape[i + 1 : -1]) * row for i in range(len(shape) - 1)] + [1]
    dims = tuple((Digit(extent, step),) for extent, step in zip(shape, steps))
    return Layout(tuple(shape), dims, steps[0] * shape[0] if shape else 1)
