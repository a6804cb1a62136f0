"""Layouts: fragments of any digits, ragged and replicated ones, swizzled and padded shared tiles, and functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.ir.dtypes import DType
from tiledsl.ir.layout import Digit, Fragment, Layout, row_major
from tiledsl.ir.swizzle import padded, swizzled

RADICES = (1, 2, 3, 4, 5, 7, 8, 16)


@st.composite
def fragments(
    draw: st.DrawFn, replicated: bool = True, separable: bool = False, dims: int = 2, fewest: int = 1, most: int = 2048
) -> Fragment:
    """Random radices split at random between threads and registers; `fewest` to `dims` dimensions.

    Digits stay inside dimensions if `separable`, else the shape is dealt from the digits' product at random.
    """
    rank = draw(st.integers(fewest, dims))
    per_dim = [draw(st.lists(st.sampled_from(RADICES), min_size=1, max_size=3)) for _ in range(rank)]
    room = most
    for radices in per_dim:  # radices that would make the tile too large become 1
        for i, radix in enumerate(radices):
            radices[i] = radix if radix <= room else 1
            room //= radices[i]
    shape = tuple(prod(r) for r in per_dim)
    digits = []
    stride = prod(shape)
    for radices in per_dim:
        for radix in radices:
            stride //= radix
            digits.append(Digit(radix, stride))
    where = draw(st.lists(st.booleans(), min_size=len(digits), max_size=len(digits)))
    threads = draw(st.permutations([d for d, t in zip(digits, where) if t]))
    regs = draw(st.permutations([d for d, t in zip(digits, where) if not t]))
    assume(prod(d.extent for d in threads) <= 256)
    threads = list(threads)
    if replicated and draw(st.booleans()):
        threads.insert(draw(st.integers(0, len(threads))), Digit(draw(st.sampled_from((2, 3, 4))), 0))
    if not separable and draw(st.booleans()):
        size = prod(shape)
        divisors = [n for n in range(1, size + 1) if size % n == 0]
        rows = draw(st.sampled_from(divisors))
        shape = (rows, size // rows)
    return Fragment(shape, tuple(threads), tuple(regs))


def swizzled_layouts() -> st.SearchStrategy[Layout]:
    """Shared tiles of 8 to 32-bit elements in panels swizzled by 32, 64 or 128 bytes."""
    return st.builds(
        lambda rows, panels, bits, span: swizzled((8 * rows, panels * span * 8 // bits), bits, span),
        st.integers(1, 4),
        st.integers(1, 3),
        st.sampled_from((8, 16, 32)),
        st.sampled_from((32, 64, 128)),
    )


@st.composite
def ragged_fragments(draw: st.DrawFn, ragged: bool = True) -> Fragment:
    """Any digits over a small tile: mixed radices dealt to threads and registers, replicas, a trimmed last row."""
    radices = draw(st.lists(st.sampled_from([2, 2, 2, 3, 4, 5, 8]), min_size=1, max_size=5))
    while prod(radices) > 512:
        radices.pop()
    strides = [prod(radices[i + 1 :]) for i in range(len(radices))]
    threads: list[Digit] = []
    regs: list[Digit] = []
    for extent, stride in draw(st.permutations(list(zip(radices, strides)))):
        room = prod(d.extent for d in threads) * extent <= 128
        (threads if room and draw(st.booleans()) else regs).append(Digit(extent, stride))
    if draw(st.booleans()) and prod(d.extent for d in threads) <= 64:
        threads.insert(draw(st.integers(0, len(threads))), Digit(2, 0))
    split = draw(st.integers(0, len(radices)))
    shape = tuple(n for n in (prod(radices[:split]), prod(radices[split:])) if n > 1) or (1,)
    if ragged and shape[0] > 2 and draw(st.booleans()):
        shape = (shape[0] - draw(st.integers(1, shape[0] // 2)), *shape[1:])
    return Fragment(shape, tuple(threads), tuple(regs))


def threads_for(draw: st.DrawFn, f: Fragment) -> int:
    """A number of threads for the block: the layout's, or more of them, which idle."""
    return draw(st.sampled_from([f.num_threads, f.num_threads + 5, -(-f.num_threads // 32) * 32 + 32]))


@st.composite
def fragments_in_blocks(draw: st.DrawFn, ragged: bool = True) -> tuple[Fragment, int]:
    f = draw(ragged_fragments(ragged))
    return f, threads_for(draw, f)


def shared_layouts(shape: tuple[int, ...], dtype: DType) -> list[Layout]:
    """Row-major, padded, column-major, or a swizzle that fits."""
    found = [row_major(shape), row_major(shape, 3), padded(shape, dtype.bits)]
    if len(shape) == 2:
        found.append(Layout(shape, ((Digit(shape[0], 1),), (Digit(shape[1], shape[0]),)), prod(shape)))
        for span in (128, 64, 32):
            try:
                found.append(swizzled(shape, dtype.bits, span))
            except ValueError:
                continue
    return found


@dataclass(frozen=True)
class LayoutFunction:
    """A tile and where a user's function puts its elements: `function(i, j)` is an offset, different for each."""

    shape: tuple[int, int]
    name: str
    function: Callable[[int, int], int]


@st.composite
def layout_functions(draw: st.DrawFn) -> LayoutFunction:
    """Rows, columns, blocks of either, rows with a gap between them, swizzled and rotated rows."""
    m, n = draw(st.sampled_from((1, 4, 8, 12, 16))), draw(st.sampled_from((4, 8, 16, 32)))
    block, gap = draw(st.sampled_from((2, 4))), draw(st.integers(1, 3))
    functions: dict[str, Callable[[int, int], int]] = {
        "rows": lambda i, j: i * n + j,
        "columns": lambda i, j: j * m + i,
        f"blocks of {block} columns": lambda i, j: j // block * (m * block) + i * block + j % block,
        f"rows {gap} apart": lambda i, j: i * (n + gap) + j,
        f"rows exchanged by {block}": lambda i, j: i * n + (j ^ i % block),
        f"rows turned by {block}": lambda i, j: i * n + (j + i * block) % n,
    }
    name = draw(st.sampled_from(list(functions)))
    return LayoutFunction((m, n), name, functions[name])
