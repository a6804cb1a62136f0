"""Inputs made from the IR alone: they fit the kernel, are exact, and tell right from wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tiledsl.cpu import tile_interp
from tiledsl.cpu.binding import blocks_of
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import DTYPES, HANDLE, INDEX, DType
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.validation.inputs import MOST_BLOCKS, candidates, numbers_of, sample
from tiledsl.validation.shorten import shortened
from tiledsl.validation.sizes import Sizing, choose_sizes


def kernel(parameters: str, body: str, sizes: str = "", grid: str = "b in 1") -> Kernel:
    return parse(f"kernel k{sizes}({parameters}) {{\n launch k({grid}) threads(t in 32) {{\n{body}\n}}\n}}\n")


def first(k: Kernel) -> dict[str, Any]:
    return dict(next(candidates(k)).values)


COPY = "copy A[b * 32 : 32] -> B[b * 32 : 32]"
SIZES = {
    "blocks get a tile and a part": ("m", "b in (m + 31) // 32", COPY, 32 + 11),
    "as the parser prints it": ("m", "b in (m + 31) >> 5", COPY, 32 + 11),
    "an assumed divisor": ("m", "b in (m + 31) // 32", f"assume m % 8 == 0\n{COPY}", 48),
    "an assumed range": ("m", "b in (m + 31) // 32", f"assume m >= 100\nassume m < 200\n{COPY}", 100),
    "an assumed bound": ("m", "b in (m + 31) // 32", f"assume m <= 20\n{COPY}", 20),
    "loops get four and a part": (
        "m",
        "b in 1",
        "for k in (m + 15) // 16 {\n copy A[k * 16 : 16] -> B[k * 16 : 16]\n}",
        4 * 16 + 6,
    ),
    "without a tile": ("m", "b in m", "copy A[b : 1] -> B[b : 1]", 7),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str) -> None:
    size, grid, body, expected = SIZES[name]
    k = kernel("A: global float32[m], B: global float32[m]", body, f"<{size}>", grid)
    found = first(k)
    assert found["m"] == expected
    assert found["A"].shape == found["B"].shape == (expected,)


def test_other_sizings_are_whole_tiles_and_equal() -> None:
    k = kernel(
        "A: global float32[m, n], B: global float32[m, n]",
        "copy A[b * 32 : 32, c * 64 : 64] -> B[b * 32 : 32, c * 64 : 64]",
        "<m, n>",
        "b in (m + 31) // 32, c in (n + 63) // 64",
    )
    m, n = k.sizes
    assert choose_sizes(k, Sizing.WHOLE) == {m: 64, n: 128}
    assert choose_sizes(k, Sizing.EQUAL) == {m: 128, n: 128}


def test_strides_that_are_sizes_leave_room() -> None:
    k = kernel("A: global float32[5, 12] strides(s, 1), B: global float32[5, 12]", "copy A -> B", "<s>")
    found = first(k)
    assert found["s"] == 16
    assert found["A"].strides == (64, 4)
    assert len(set(found["A"].ravel().tolist())) > 1


INDEXED = {
    "a row": ("A[I[0], 0]", 9),
    "a tile": ("A[I[0] * 4 + 3, 0]", 1),
    "through a bind": ("A[cast<index>(x), 0]", 9),
    "both dimensions": ("A[I[0], I[1]]", 3),
}


@pytest.mark.parametrize("name", INDEXED)
def test_integers_that_address_stay_inside(name: str) -> None:
    value, most = INDEXED[name]
    bind = "let x: int32 = I[0]\n" if "x" in value else ""
    k = kernel("I: global int32[300], A: global float32[10, 4], B: global float32[1]", f"{bind}B[0] = {value}")
    found = first(k)["I"]
    assert found.min() == 0
    assert most // 2 <= found.max() <= most


def test_integers_in_shared_memory_that_address_stay_inside() -> None:
    body = "alloc S: shared int32[8]\ncopy I -> S\nalloc x: shared float32[4]\nx[S[0]] = 1.0\nB[0] = x[S[0]]"
    found = first(kernel("I: global int32[8], B: global float32[1]", body))["I"]
    assert found.min() >= 0 and found.max() <= 3


def test_as_few_indices_as_places_are_all_different() -> None:
    """A scatter through equal indices would store two values in one place."""
    body = "parallel i in 16 {\n B[I[i]] = A[i]\n}"
    k = kernel("I: global int32[16], A: global float32[16], B: global float32[16]", body)
    inputs = next(candidates(k))
    assert sorted(inputs.values["I"].tolist()) == list(range(16))
    tile_interp.run(k, inputs.fresh())


def test_what_is_only_written_is_poisoned_and_copied_what_is_read_is_shared() -> None:
    k = kernel("A: global float16[32], B: global float16[32], C: global float16[32]", "copy A -> B\ncopy C -> C")
    inputs = next(candidates(k))
    assert inputs.written == {"B", "C"}
    assert np.isnan(inputs.values["B"]).all()
    assert not np.isnan(inputs.values["C"]).any()
    given = inputs.fresh()
    assert given["A"] is inputs.values["A"]
    assert not given["A"].flags.writeable
    assert given["B"] is not inputs.values["B"]


@pytest.mark.parametrize("dtype", [t for t in DTYPES.values() if t not in (HANDLE, INDEX)], ids=str)
def test_numbers_are_small_integers_in_every_dtype(dtype: DType) -> None:
    found = numbers_of(dtype, (64,), None, False, np.random.default_rng(0))
    assert found.dtype == numpy_dtype(dtype)
    numbers = found.astype(np.float64)
    assert (numbers == np.rint(numbers)).all()
    assert np.abs(numbers).max() <= 4
    assert len(set(numbers.tolist())) > 1


@pytest.mark.parametrize("grid", [(1,), (2, 3), (32, 32), (5, 7, 9), (1000,)])
def test_of_a_large_grid_the_ends_run(grid: tuple[int, ...]) -> None:
    chosen = sample(grid)
    everything = set(blocks_of(grid))
    assert set(chosen) <= everything
    assert len(chosen) == len(set(chosen)) <= MOST_BLOCKS
    assert {tuple(0 for _ in grid), tuple(n - 1 for n in grid)} <= set(chosen)
    if len(everything) <= MOST_BLOCKS:
        assert set(chosen) == everything


def test_loops_over_tiles_are_shortened_and_nothing_else() -> None:
    loop = "for k in {} {{\n copy A[k * 16 : 16] -> s\n}}"
    body = "alloc s: shared float32[16]\n" + loop
    parameters = "A: global float32[16384], B: global float32[16]"
    long = kernel(parameters, body.format("1000 pipelined(stages=3)"))
    assert any(getattr(n, "extent", None) == 7 for n in _loops(shortened(long)))
    short = kernel(parameters, body.format("7 pipelined(stages=3)"))
    assert shortened(short) is short


def _loops(k: Kernel) -> list[Any]:
    from types import SimpleNamespace

    from tiledsl.ir.nodes import Const, For
    from tiledsl.ir.walk import walk

    return [
        SimpleNamespace(extent=n.extent.value) for n in walk(k) if isinstance(n, For) and isinstance(n.extent, Const)
    ]
