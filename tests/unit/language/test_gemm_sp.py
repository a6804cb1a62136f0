"""T.gemm_sp and tiledsl.sparse: what they compute in every execution, and the instructions that they become."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiledsl
import tiledsl.language as T
from tiledsl import TileError
from tiledsl.sparse import compress, expand, prune
from tiledsl.testing import Case, check

M, N, K = 64, 64, 128
TYPES = {
    "float16": (np.float16, T.float16, T.float32),
    "bfloat16": (ml_dtypes.bfloat16, T.bfloat16, T.float32),
    "float16 sums": (np.float16, T.float16, T.float16),
}


def product(dtype: Any, sums: Any, turned: bool = False, held: bool = False, policy: str = "square", block_K: int = 64):
    """`turned`: B is (N, K). `held`: E is a fragment."""
    shape_B, tile_B = ((N, K), (N, block_K)) if turned else ((K, N), (block_K, N))

    @tiledsl.kernel(out_idx=-1)
    def product(
        A: T.Tensor((M, K // 2), dtype),
        E: T.Tensor((M, K // 16), T.uint16),
        B: T.Tensor(shape_B, dtype),
        C: T.Tensor((M, N), T.float32),
    ):
        with T.Kernel(1, threads=128):
            A_shared = T.alloc_shared((M, block_K // 2), dtype)
            E_tile = (T.alloc_fragment if held else T.alloc_shared)((M, block_K // 16), T.uint16)
            B_shared = T.alloc_shared(tile_B, dtype)
            C_local = T.alloc_fragment((M, N), sums)
            T.clear(C_local)
            for k in T.Pipelined(K // block_K, num_stages=2):
                T.copy(A[0, k * (block_K // 2)], A_shared)
                T.copy(E[0, k * (block_K // 16)], E_tile)
                if turned:
                    T.copy(B[0, k * block_K], B_shared)
                else:
                    T.copy(B[k * block_K, 0], B_shared)
                T.gemm_sp(A_shared, E_tile, B_shared, C_local, transpose_B=turned, policy=policy)
            T.copy(C_local, C)

    return product


def case(name: str, turned: bool = False, **options: Any) -> Case:
    numpy, dtype, sums = TYPES[name]

    def inputs(draw):
        A, E = compress(prune(draw(M, K, dtype=numpy)))
        return {"A": A, "E": E, "B": draw(*((N, K) if turned else (K, N)), dtype=numpy)}

    def reference(A, E, B):
        B = B.T if turned else B
        return {"C": (expand(A, E).astype(np.float64) @ B.astype(np.float64)).astype(np.float32)}

    made = product(dtype, sums, turned, **options)
    # Sums of at most 64 products of small integers are exact in float16 too.
    return Case(f"sparse {name}", made, inputs, reference, rtol=1e-2, atol=2e-2 if sums is T.float16 else 1e-3)


@pytest.mark.parametrize("target", ["sm_80", "sm_90a"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("float16", {}),
        ("float16", {"turned": True, "policy": "full_row"}),
        ("bfloat16", {"held": True, "policy": "full_col"}),
        ("float16 sums", {"block_K": 32}),
    ],
    ids=["plain", "turned", "held", "float16-sums"],
)
def test_sparse_products_in_all_executions(name: str, options: dict[str, Any], target: str) -> None:
    check(case(name, **options), schedules=2, target=target)


@pytest.mark.parametrize("target", ["sm_80", "sm_90a"])
def test_sparse_products_are_instructions_of_the_tensor_core(target: str) -> None:
    """Half as many as of the dense product, by mma.sp, whose metadata comes once a step; and the report says why."""
    compiled = case("float16").compiled(target)
    launch = compiled.lowered.final.launches[0]
    assert set(re.findall(r"\bmma_\w+", compiled.source)) == {"mma_sp_m16n8k32_f32_f16"}
    work = compiled.report().entries[0].work
    assert work.tensor == {"float16": 2 * M * N * K // 2}
    said = any("mma, as sparse matrices are multiplied by mma.sp" in note for note in launch.notes)
    assert said == (target == "sm_90a")


@given(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([16, 32, 64]))
def test_compression_is_undone_by_expansion(seed: int, rows: int, columns: int) -> None:
    draw = np.random.default_rng(seed)
    dense = prune(draw.integers(-2, 3, (rows, columns)).astype(np.float16))
    groups = dense.reshape(rows, -1, 4)
    assert ((groups != 0).sum(-1) <= 2).all()
    values, metadata = compress(dense)
    assert values.shape == (rows, columns // 2) and metadata.shape == (rows, columns // 16)
    np.testing.assert_array_equal(expand(values, metadata), dense)
    nibbles = (metadata[..., None] >> np.arange(0, 16, 4)) & 15
    assert ((nibbles & 3) < (nibbles >> 2)).all()


def test_metadata_is_as_the_manual_has_it() -> None:
    """PTX ISA, "Sparse matrix storage": two numbers of two bits for each pair, the first in the lower ones."""
    dense = np.zeros((1, 16), np.float16)
    dense[0, [0, 2, 5, 7, 8, 9, 14, 15]] = np.arange(1, 9)
    values, metadata = compress(dense)
    assert values.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert metadata.tolist() == [[0b1110_0100_1101_1000]]


def test_pruning_keeps_the_largest() -> None:
    assert prune(np.array([[3.0, -4.0, 1.0, 2.0]])).tolist() == [[3.0, -4.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("dense", "said"),
    [
        (np.ones((2, 8), np.float16), "rows of 8 elements are no whole words of 16"),
        (np.array([[0.0] * 12 + [1, 1, 0, 1]]), "row 0 has more than two elements at 12 to 15"),
    ],
)
def test_what_is_not_sparse_is_not_compressed(dense: Any, said: str) -> None:
    with pytest.raises(TileError, match=said) as caught:
        compress(dense)
    assert caught.value.code == "TD0276"


@pytest.mark.parametrize("backend", ["tile", "simt", "cpu"])
def test_wrong_metadata_is_found_by_every_execution(backend: str) -> None:
    chosen = case("float16")
    inputs = dict(chosen.inputs(tiledsl.testing.Draw(0)))
    inputs["E"] = inputs["E"].copy()
    inputs["E"][5, 3] = 0x4944  # of the third group: 1 and 2; then 0x4044 names one element twice
    inputs["E"][5, 3] &= 0xF0FF
    with pytest.raises(TileError) as caught:
        chosen.compiled()(*inputs.values(), backend=backend)
    assert caught.value.code == "TD0864"


def test_tiles_that_do_not_fit_are_errors() -> None:
    def kernel(E_shape: Any, E_dtype: Any, dtype: Any = T.float16, **options: Any):
        @tiledsl.kernel
        def wrong(X: T.Tensor((1,), T.float32)):
            with T.Kernel(1, threads=128):
                A = T.alloc_shared((64, 32), dtype)
                E = T.alloc_shared(E_shape, E_dtype)
                B = T.alloc_shared((64, 64), dtype)
                C = T.alloc_fragment((64, 64), T.float32)
                T.gemm_sp(A, E, B, C, **options)

        return wrong

    for code, given_, options in (
        ("TD0275", ((64, 2), T.uint16), {}),
        ("TD0275", ((64, 4), T.int16), {}),
        ("TD0226", ((64, 4), T.uint16), {"transpose_A": True}),
        ("TD0226", ((64, 4), T.uint16), {"policy": "round"}),
        ("TD0312", ((64, 4), T.uint16), {"dtype": T.float32}),
    ):
        with pytest.raises(TileError) as caught:
            kernel(*given_, **options).compile(target="sm_80")
        assert caught.value.code == code, (code, caught.value)
