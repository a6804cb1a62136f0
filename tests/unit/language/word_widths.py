"""Kernels of accesses to global memory that have a width."""

from __future__ import annotations

import numpy as np
from word_case import Table, drawn, floats, given, integers, zeros

import tiledsl.language as T

CASES = Table()


def _of_a_width(A, H, Y, Z, W):
    quads = A.reshape(32, 4)
    kept = np.where(np.arange(32)[:, None] < 20, quads, 0)
    return {
        "Y": np.stack([A, kept.reshape(-1)]),
        "Z": H + np.array([[0] * 64, [1, 2] * 32], np.float16),
        "W": np.where(np.arange(128) < 84, A, 0) + (np.arange(128) < 84),
    }


@CASES.computes(
    _of_a_width,
    given(
        A=drawn(floats, 128), H=drawn(integers, 2, 64, dtype="float16"), Y=zeros(2, 128),
        Z=zeros(2, 64, dtype="float16"), W=zeros(128),
    ),
    ptx=("ld.global.nc.v4.u32", "st.global.v4", "ld.global.nc.v2", "st.global.v2", "add.rn.f16x2"),
)  # fmt: skip
def accesses_of_a_width(
    A: T.Tensor((128,), "float32"),
    H: T.Tensor((2, 64), "float16"),
    Y: T.Tensor((2, 128), "float32"),
    Z: T.Tensor((2, 64), "float16"),
    W: T.Tensor((128,), "float32"),
):
    """By threads and by points, of parts and of first elements, under conditions and over the end."""
    with T.Kernel(1, threads=32):
        t = T.get_thread_binding()
        v = T.ldg128(A[4 * t : 4 * t + 4])
        T.stg128(Y[0, 4 * t], v)
        T.stg128(Y[1, 4 * t], T.ldg128(A[4 * t], pred=t < 20))
        for i in T.Parallel(16):
            T.stg64(Z[0, 4 * i : 4 * i + 4], T.ldg64(H[0, 4 * i : 4 * i + 4]))
        for i in T.Parallel(32):
            T.stg32(Z[1, 2 * i], T.add2(H[1, 2 * i : 2 * i + 2], (1, 2)))
        for i in T.Parallel(64):
            low = T.__ldg(A[2 * i]) + 1
            words = T.ldg64(A[2 * i])
            high = T.reinterpret("float32", words[1]) + T.float32(1)
            if i < 42:
                W[2 * i] = low
                W[2 * i + 1] = high


SIZES = ("int8", "uint8", "float8_e4m3fn", "int16", "bfloat16", "int32", "uint32", "int64", "float64")


def _any_size(**tensors):
    return {f"Y_{n}": tensors[f"A_{n}"] for n in SIZES}


def _inputs(rng):
    bytes_ = {n: rng.integers(1, 100, 64 * zeros(1, dtype=n).dtype.itemsize, np.uint8) for n in SIZES}
    given_ = {f"A_{n}": b.view(zeros(1, dtype=n).dtype) for n, b in bytes_.items()}
    return {**given_, **{f"Y_{n}": zeros(64, dtype=n) for n in SIZES}}


@CASES.computes(_any_size, _inputs)
def accesses_of_numbers_of_any_size(
    A_int8: T.Tensor((64,), "int8"), Y_int8: T.Tensor((64,), "int8"),
    A_uint8: T.Tensor((64,), "uint8"), Y_uint8: T.Tensor((64,), "uint8"),
    A_float8_e4m3fn: T.Tensor((64,), "float8_e4m3fn"), Y_float8_e4m3fn: T.Tensor((64,), "float8_e4m3fn"),
    A_int16: T.Tensor((64,), "int16"), Y_int16: T.Tensor((64,), "int16"),
    A_bfloat16: T.Tensor((64,), "bfloat16"), Y_bfloat16: T.Tensor((64,), "bfloat16"),
    A_int32: T.Tensor((64,), "int32"), Y_int32: T.Tensor((64,), "int32"),
    A_uint32: T.Tensor((64,), "uint32"), Y_uint32: T.Tensor((64,), "uint32"),
    A_int64: T.Tensor((64,), "int64"), Y_int64: T.Tensor((64,), "int64"),
    A_float64: T.Tensor((64,), "float64"), Y_float64: T.Tensor((64,), "float64"),
):  # fmt: skip
    pairs = (
        (A_int8, Y_int8, 1), (A_uint8, Y_uint8, 1), (A_float8_e4m3fn, Y_float8_e4m3fn, 1), (A_int16, Y_int16, 2),
        (A_bfloat16, Y_bfloat16, 2), (A_int32, Y_int32, 4), (A_uint32, Y_uint32, 4), (A_int64, Y_int64, 8),
        (A_float64, Y_float64, 8),
    )  # fmt: skip
    with T.Kernel(1, threads=32):
        for a, y, size in pairs:
            half = 32 // (16 // size)
            for i in T.Parallel(half):
                T.stg128(y[16 // size * i], T.ldg128(a[16 // size * i]))
            if size < 8:
                for i in T.Parallel(32 // (4 // size)):
                    T.stg32(y[32 + 4 // size * i], T.ldg32(a[32 + 4 // size * i]))
            else:
                for i in T.Parallel(32):
                    T.stg64(y[32 + i], T.ldg64(a[32 + i]))


def _promised(A, Y, first):
    moved = np.zeros_like(Y)
    moved[:, : 64 - first] = A[:, first:]
    return {"Y": moved}


@CASES.computes(_promised, given(A=drawn(integers, 4, 64, dtype="float16"), Y=zeros(4, 64, dtype="float16"), first=8))
def accesses_that_promise(
    A: T.Tensor((T.dynamic("m"), T.dynamic("k")), "float16"),
    Y: T.Tensor((T.dynamic("m"), T.dynamic("k")), "float16"),
    first: T.int32,
):
    """A place that is known when the kernel runs; what lies behind a row is 0, not the next row."""
    with T.Kernel(A.shape[0], threads=32) as bx:
        t = T.get_thread_binding()
        v = T.ldg128(A[bx, 8 * t + first])
        T.stg128(Y[bx, 8 * t], v)
