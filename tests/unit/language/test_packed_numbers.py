"""Tensors of 4-bit numbers, two to a byte: values in all executions, and what they become on the GPU."""

from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.cpu.numerics import convert, numpy_dtype
from tiledsl.errors import TileError
from tiledsl.frontend.typenames import dtype_named
from tiledsl.nibbles import pack, unpack

BACKENDS = ["tile", "simt", pytest.param("cpu", marks=pytest.mark.cxx)]
DTYPES = ["int4", "uint4", "float4_e2m1fn"]
M, N, K = 32, 16, 64


def numbers(dtype: str, *shape: int):
    held = np.random.default_rng(1).integers(0, 256, (*shape[:-1], shape[-1] // 2), dtype=np.uint8)
    return unpack(held, dtype)


def product(dtype: str, wide: str, accumulator: str):
    """`X @ W.T`, with W of 4-bit numbers that become `wide` on their way from shared memory to registers."""

    @tiledsl.kernel
    def weights_of_four_bits(X: T.Tensor((M, K), wide), W: T.Tensor((N, K), dtype), Y: T.Tensor((M, N), accumulator)):
        with T.Kernel(1, threads=64):
            X_shared = T.alloc_shared((M, 32), wide)
            W_shared = T.alloc_shared((N, 32), dtype)
            W_wide = T.alloc_shared((N, 32), wide)
            out = T.alloc_fragment((M, N), accumulator)
            T.clear(out)
            for k in T.Pipelined(K // 32, num_stages=2):
                T.copy(X[0, k * 32], X_shared)
                T.copy(W[0, k * 32], W_shared)
                T.copy(W_shared, W_wide)
                T.gemm(X_shared, W_wide, out, transpose_B=True)
            T.copy(out, Y)

    return weights_of_four_bits


@pytest.mark.parametrize("target", ["sm_80", "sm_90a"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_four_bits(dtype: str, backend: str, target: str) -> None:
    wide, accumulator = ("float16", "float32") if dtype.startswith("float") else ("int8", "int32")
    w = numbers(dtype, N, K)
    x = np.random.default_rng(2).integers(-4, 5, (M, K)).astype(wide)
    y = np.zeros((M, N), accumulator)
    product(dtype, wide, accumulator).compile(target=target)(x, pack(w), y, backend=backend)
    np.testing.assert_array_equal(y, x.astype(np.float64) @ w.astype(np.float64).T)


@pytest.mark.parametrize(("target", "instruction"), [("sm_80", "cp.async.c"), ("sm_90a", "cp.async.bulk.tensor.2d")])
def test_weights_of_four_bits_are_copied_as_bytes_and_multiplied_by_the_tensor_core(
    target: str, instruction: str
) -> None:
    source = product("float4_e2m1fn", "float16", "float32").compile(target=target).source
    assert "mma.sync.aligned.m16n8k16" in source and instruction in source


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_float16_is_rounded_to_nearest(backend: str) -> None:
    """And NaN becomes the largest number, as in hardware."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(256, 256)

    @tiledsl.kernel
    def rounded(X: T.Tensor((256, 256), "float16"), B: T.Tensor((256, 256), "float4_e2m1fn")):
        with T.Kernel(256, threads=32) as bx:
            T.copy(X[bx, :], B[bx, :])

    held = np.zeros((256, 128), np.uint8)
    rounded(every, held, backend=backend)
    expected = convert(every, dtype_named("float16"), dtype_named("float4_e2m1fn"))
    np.testing.assert_array_equal(held, pack(expected))
    assert (unpack(held, "float4_e2m1fn").astype(np.float32)[np.isnan(every)] == 6).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_bytes_are_viewed_as_numbers_and_back(backend: str) -> None:
    @tiledsl.kernel
    def viewed(A: T.Tensor((8, 32), "uint8"), Y: T.Tensor((16, 32), "int32"), Z: T.Tensor((8, 32), "uint8")):
        with T.Kernel(1, threads=32):
            tile = T.alloc_shared((8, 32), "uint8")
            T.copy(A, tile)
            fours = T.view(tile, (16, 32), "int4")
            assert fours.dtype == "int4" and fours.shape == (16, 32) and fours.ndim == 2
            T.copy(fours, Y)
            T.copy(T.view(fours, (8, 32), "uint8"), Z)

    a = np.random.default_rng(3).integers(0, 256, (8, 32), dtype=np.uint8)
    y, z = np.zeros((16, 32), np.int32), np.zeros_like(a)
    viewed(a, y, z, backend=backend)
    np.testing.assert_array_equal(y, unpack(a.reshape(16, 16), "int4").astype(np.int32))
    np.testing.assert_array_equal(z, a)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sizes_are_counted_in_numbers_and_results_are_bytes(backend: str) -> None:
    @tiledsl.kernel
    def negated(A):
        M, N = T.const("M, N")
        A: T.Tensor((M, N), "int4")
        B = T.empty((M, N), "int4")
        with T.Kernel(M, threads=32) as bx:
            row = T.alloc_fragment((N,), "int32")
            for j in T.Parallel(N):
                row[j] = -A[bx, j]
            T.copy(row, B[bx, :])
        return B

    a = numbers("int4", 6, 20)
    found = negated(pack(a), backend=backend)
    assert found.dtype == np.uint8 and found.shape == (6, 10)
    np.testing.assert_array_equal(unpack(found, "int4"), (-a.astype(np.int32)).astype(ml_dtypes.int4))
    with pytest.raises(TileError, match=r"TD0137.*int4, two of which are a uint8"):
        negated(a, backend=backend)


def test_widths_are_counted_in_numbers() -> None:
    @tiledsl.kernel
    def widened(A: T.Tensor((4, 64), "int4"), B: T.Tensor((4, 64), "int8")):
        with T.Kernel(1, threads=32):
            T.copy(A, B, coalesced_width=8)

    traced = widened.compile(target="sm_80").ir("trace")
    assert re.findall(r"copy\(.*\).*", traced) == ["copy(width=4) A -> A_1", "copy(width=8) B_1 -> B"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dtype", "value"), [("int4", -3), ("uint4", 15), ("float4_e2m1fn", -1.5)])
def test_parts_are_filled(dtype: str, value: float, backend: str) -> None:
    @tiledsl.kernel
    def filled(B: T.Tensor((4, 16), dtype), x: T.int32):
        with T.Kernel(1, threads=32):
            tile = T.alloc_shared((4, 16), dtype)
            T.clear(tile)
            T.fill(tile[1:3, 2:8], value)
            T.fill(tile[3, 4:6], x)
            T.copy(tile, B)

    held = np.full((4, 8), 255, np.uint8)
    filled(held, 1, backend=backend)
    expected = np.zeros((4, 16))
    expected[1:3, 2:8], expected[3, 4:6] = value, 1
    np.testing.assert_array_equal(held, pack(expected.astype(numpy_dtype(dtype_named(dtype)))))


@pytest.mark.parametrize("dtype", DTYPES)
def test_packing_is_undone(dtype: str) -> None:
    held = np.arange(256, dtype=np.uint8).reshape(4, 64)
    found = unpack(held, dtype)
    assert found.shape == (4, 128) and found.dtype.name == dtype
    np.testing.assert_array_equal(pack(found), held)
    low = {"int4": -8, "uint4": 8, "float4_e2m1fn": -0.0}[dtype]
    assert float(unpack(np.array([0x08], np.uint8), dtype)[0]) == low  # the low four bits come first


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2), np.int8), np.zeros((2, 3), ml_dtypes.int4), np.zeros((), ml_dtypes.int4)]
)
def test_TD0291_what_cannot_be_packed(wrong) -> None:
    with pytest.raises(TileError, match="TD0291"):
        pack(wrong)
    with pytest.raises(TileError, match="TD0291"):
        unpack(wrong, "int4")
