"""Laws of words on neighbours: pairs and accesses of a width do what their elements do, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tiledsl.language as T
from tiledsl.compile import lower
from tiledsl.cpu import interp, tile_interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.frontend.trace import trace_kernel
from tiledsl.frontend.typenames import dtype_named
from tiledsl.target import target_named
from tiledsl.testing.laws.base import law, laws_of

ROWS = 3
_LOADS = {32: T.ldg32, 64: T.ldg64, 128: T.ldg128}
_STORES = {32: T.stg32, 64: T.stg64, 128: T.stg128}
_PAIRED = {"add": (T.add2, np.add), "sub": (T.sub2, np.subtract), "mul": (T.mul2, np.multiply)}


def executed(function: Any, **arguments: Any) -> list[dict[str, Any]]:
    """What the function leaves in its arguments as tile stage and as thread stage."""
    kernel = trace_kernel(function, {}, {})
    found = []
    for run, stage in ((tile_interp.run, kernel), (interp.run, lower(kernel, target_named("sm_80")).final)):
        given = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in arguments.items()}
        run(stage, given)
        found.append(given)
    return found


@law(
    examples=8,
    width=st.sampled_from([32, 64, 128]),
    dtype=st.sampled_from(["int8", "float16", "bfloat16", "uint32", "float32", "float64"]),
    vectors=st.integers(1, 6),
    first=st.integers(-2, 4),
    kept=st.integers(0, 6),
)
def accesses_of_a_width_are_those_of_elements(width: int, dtype: str, vectors: int, first: int, kept: int) -> None:
    """What lies before or behind a row is 0, and is not stored; so is what the condition leaves out."""
    holder = numpy_dtype(dtype_named(dtype))
    count = max(width, 8 * holder.itemsize) // (8 * holder.itemsize)
    load, store, columns = _LOADS[max(width, 8 * holder.itemsize)], _STORES[max(width, 8 * holder.itemsize)], 4 * count

    def moved(A: T.Tensor((ROWS, columns), dtype), Y: T.Tensor((ROWS, columns), dtype), first: T.int32):  # type: ignore
        with T.Kernel(ROWS, threads=32) as bx:
            for i in T.Parallel(vectors):
                words = load(A[bx, count * i + first], pred=i < kept)
                store(Y[bx, count * i], words)

    a = (np.arange(1, 1 + ROWS * columns) % 97).astype(holder).reshape(ROWS, columns)
    expected = np.zeros_like(a)
    for i in range(min(vectors, 4)):
        if i < kept and 0 <= i + first < 4:
            expected[:, i * count : (i + 1) * count] = a[:, (i + first) * count : (i + first + 1) * count]
    for found in executed(moved, A=a, Y=np.zeros_like(a), first=first * count):
        np.testing.assert_array_equal(found["Y"], expected)


@law(
    examples=8,
    operation=st.sampled_from(sorted(_PAIRED)),
    dtype=st.sampled_from(["float16", "bfloat16", "float32"]),
    pairs=st.integers(1, 9),
    first=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def pairs_are_computed_as_elements(operation: str, dtype: str, pairs: int, first: int, seed: int) -> None:
    """At odd places too, where neighbours are moved one by one."""
    holder, columns = numpy_dtype(dtype_named(dtype)), first + 2 * pairs
    word, function = _PAIRED[operation]

    def computed(A: T.Tensor((ROWS, columns), dtype), B: T.Tensor((ROWS, columns), dtype)):  # type: ignore
        with T.Kernel(ROWS, threads=32) as bx:
            for i in T.Parallel(pairs):
                at = first + 2 * i
                B[bx, at : at + 2] = word(A[bx, at : at + 2], B[bx, at : at + 2])

    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-9, 9, (ROWS, columns)).astype(holder) for _ in range(2))
    expected = b.copy()
    expected[:, first:] = function(a[:, first:], b[:, first:])
    for found in executed(computed, A=a, B=b):
        np.testing.assert_array_equal(found["B"], expected)


LAWS = laws_of(globals())
