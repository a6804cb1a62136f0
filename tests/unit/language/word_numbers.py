"""Kernels of words on numbers: arithmetic, bits, mathematics, conversions, selection."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
from word_case import Table, drawn, floats, given, integers, zeros

import tiledsl.language as T

CASES = Table()
N = 64


def _arithmetic(A, B, Y):
    a, b = A.astype(np.int64), B.astype(np.int64)
    return {
        "Y": np.stack(
            [
                a // b, a % b, np.trunc(a / b), np.fmod(a, b), -(-a // b), np.maximum(a, b), np.minimum(a, b), abs(a),
                np.clip(a, -20, 20), (b < a) & (a < 90), np.where(a > 0, a, b), (a > 0) | (b > 0), (a > 0) & (b > 0),
                ~(a > 0), np.where(a < b, a, -a), np.full(N, A[-1]),
            ]
        ).astype(np.int32)
    }  # fmt: skip


@CASES.computes(
    _arithmetic, given(A=drawn(integers, N), B=drawn(integers, N, low=1, high=17), Y=zeros(16, N, dtype="int32"))
)
def arithmetic(A: T.Tensor((N,), "int32"), B: T.Tensor((N,), "int32"), Y: T.Tensor((16, N), "int32")):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            a, b = A[i], B[i]
            Y[0, i] = T.floordiv(a, b)
            Y[1, i] = T.floormod(a, b)
            Y[2, i] = T.truncdiv(a, b)
            Y[3, i] = T.truncmod(a, b)
            Y[4, i] = T.ceildiv(a, b)
            Y[5, i] = T.max(a, b)
            Y[6, i] = T.min(a, b)
            Y[7, i] = T.abs(a)
            Y[8, i] = T.clamp(a, -20, 20)
            Y[9, i] = b < a < 90
            Y[10, i] = a if a > 0 else b
            Y[11, i] = T.logical_or(a > 0, b > 0)
            Y[12, i] = T.logical_and(a > 0, b > 0)
            Y[13, i] = T.logical_not(a > 0)
            Y[14, i] = T.Select(a < b, a, -a)
            Y[15, i] = A[-1]


def _bits(A, B, Y):
    ones = [bin(int(a) & 0xFFFFFFFF).count("1") for a in A]
    zeros_ahead = [32 - (int(a) & 0xFFFFFFFF).bit_length() for a in A]
    s = B % 8
    rows = [A & B, A | B, A ^ B, ~A, A << s, A >> s, ones, zeros_ahead, A & B | A ^ ~B, (A << 2) >> 1]
    return {"Y": np.stack(rows).astype(np.int32)}


@CASES.computes(
    _bits,
    given(A=drawn(integers, N, low=-(2**20), high=2**20), B=drawn(integers, N), Y=zeros(10, N, dtype="int32")),
    ptx=("popc.b32", "clz.b32", "shl.b32"),
)
def bits(A: T.Tensor((N,), "int32"), B: T.Tensor((N,), "int32"), Y: T.Tensor((10, N), "int32")):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            a, b = A[i], B[i]
            Y[0, i] = T.bitwise_and(a, b)
            Y[1, i] = T.bitwise_or(a, b)
            Y[2, i] = T.bitwise_xor(a, b)
            Y[3, i] = T.bitwise_not(a)
            Y[4, i] = T.shift_left(a, b % 8)
            Y[5, i] = T.shift_right(a, b % 8)
            Y[6, i] = T.popcount(a)
            Y[7, i] = T.clz(a)
            Y[8, i] = a & b | a ^ ~b
            Y[9, i] = a << 2 >> 1


def _dot(A, B, Y):
    a, b = A.view(np.int8).reshape(N, 4).astype(np.int32), B.view(np.int8).reshape(N, 4).astype(np.int32)
    return {"Y": (a * b).sum(1, dtype=np.int32) + 3}


@CASES.computes(
    _dot,
    given(
        A=drawn(integers, N, low=-(2**31), high=2**31), B=drawn(integers, N, low=-(2**31), high=2**31),
        Y=zeros(N, dtype="int32"),
    ),
    ptx=("dp4a.s32.s32",),
)  # fmt: skip
def dot_of_four_bytes(A: T.Tensor((N,), "int32"), B: T.Tensor((N,), "int32"), Y: T.Tensor((N,), "int32")):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            Y[i] = T.dp4a(A[i], B[i], T.int32(3))


POSITIVE = (T.exp, T.exp2, T.exp10, T.log, T.log2, T.log10, T.sqrt, T.rsqrt, T.sigmoid, T.tanh)
FAST = (T.__exp, T.__exp2, T.__exp10, T.__log, T.__log2, T.__log10, T.__sin, T.__cos, T.__tan, T.fast_rcp)
PERIODIC = (T.sin, T.cos, T.tan, T.sinh, T.cosh, T.asin, T.acos, T.atan, T.erf)
_POSITIVE = (
    np.exp, np.exp2, lambda x: 10**x, np.log, np.log2, np.log10, np.sqrt, lambda x: 1 / np.sqrt(x),
    lambda x: 1 / (1 + np.exp(-x)), np.tanh,
)  # fmt: skip
_FAST = (*_POSITIVE[:6], np.sin, np.cos, np.tan, lambda x: 1 / x)
_PERIODIC = (np.sin, np.cos, np.tan, np.sinh, np.cosh, np.arcsin, np.arccos, np.arctan, np.vectorize(math.erf))


def _mathematics(A, B, Y):
    a, b = A.astype(np.float64), B.astype(np.float64)
    rows = [*(f(a) for f in _POSITIVE), *(f(a) for f in _FAST), *(f(b) for f in _PERIODIC)]
    rows += [np.arctan2(b, a), a**b, np.fmod(a, 1.25), a / b]
    return {"Y": np.stack(rows).astype(np.float32)}


@CASES.computes(
    _mathematics,
    given(
        A=drawn(floats, N, low=0.25, high=1.25), B=drawn(floats, N, low=0.1, high=0.9),
        Y=zeros(len(_POSITIVE) + len(_FAST) + len(_PERIODIC) + 4, N),
    ),
    rtol=1e-4,
    ptx=("ex2.approx", "lg2.approx", "sqrt.rn.f32", "rsqrt.approx", "sin.approx", "cos.approx"),
)  # fmt: skip
def mathematics(A: T.Tensor((N,), "float32"), B: T.Tensor((N,), "float32"), Y: T.Tensor((33, N), "float32")):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            for row, word in enumerate((*POSITIVE, *FAST)):
                Y[row, i] = word(A[i])
            for row, word in enumerate(PERIODIC):
                Y[20 + row, i] = word(B[i])
            Y[29, i] = T.atan2(B[i], A[i])
            Y[30, i] = T.pow(A[i], B[i])
            Y[31, i] = T.fmod(A[i], T.float32(1.25))
            Y[32, i] = T.fdiv(A[i], B[i])


EDGES = np.array([*np.linspace(-3, 3, 57), np.inf, -np.inf, np.nan, 0.5, 1.5, -0.5, 0.0], np.float32)


def _rounded(A, Y):
    rows = [np.rint(A), np.floor(A), np.ceil(A), np.trunc(A), np.isnan(A), np.isinf(A), np.isfinite(A)]
    return {"Y": np.stack([*rows, np.full(N, np.inf), np.full(N, 65504), np.full(N, -128)]).astype(np.float32)}


@CASES.computes(_rounded, given(A=EDGES, Y=zeros(10, N)), ptx=("cvt.rni", "cvt.rmi", "cvt.rpi", "cvt.rzi"))
def rounded(A: T.Tensor((N,), "float32"), Y: T.Tensor((10, N), "float32")):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            Y[0, i] = T.round(A[i])
            Y[1, i] = T.floor(A[i])
            Y[2, i] = T.ceil(A[i])
            Y[3, i] = T.trunc(A[i])
            Y[4, i] = T.isnan(A[i])
            Y[5, i] = T.isinf(A[i])
            Y[6, i] = T.isfinite(A[i])
            Y[7, i] = T.infinity("float32")
            Y[8, i] = T.max_value("float16")
            Y[9, i] = T.min_value("int8")


def _fused(A, B, Y):
    a, b = A.astype(np.float64), B.astype(np.float64)
    return {"Y": (a * b + 1).astype(np.float32)}


@CASES.computes(
    _fused, given(A=drawn(floats, N), B=drawn(integers, N, dtype="float32"), Y=zeros(N)), ptx=("fma.rn.f32",)
)
def fused(A: T.Tensor((N,), "float32"), B: T.Tensor((N,), "float32"), Y: T.Tensor((N,), "float32")):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            Y[i] = T.fma(A[i], B[i], T.float32(1))


def _casts(A, H, I, Y):
    clipped = np.clip(np.nan_to_num(A * 100), -128, 127)
    toward_zero = np.copysign(np.floor(np.abs(A.astype(np.float64)) * 1024) / 1024, A)  # of numbers in [1, 2)
    return {
        "H": np.stack(
            [A.astype(np.float16), A.astype(np.float16), A.astype(np.float16), toward_zero.astype(np.float16)]
        ),
        "I": np.trunc(clipped).astype(np.int8),
        "Y": A.view(np.int32),
    }


@CASES.computes(
    _casts,
    given(
        A=drawn(floats, N, low=1.0, high=2.0), H=zeros(4, N, dtype="float16"), I=zeros(N, dtype="int8"),
        Y=zeros(N, dtype="int32"),
    ),
    ptx=("cvt.rn.f16x2.f32", "cvt.rzi.s32.f32"),
)  # fmt: skip
def casts(
    A: T.Tensor((N,), "float32"), H: T.Tensor((4, N), "float16"), I: T.Tensor((N,), "int8"), Y: T.Tensor((N,), "int32")
):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            H[0, i] = T.cast(A[i], "float16")
            H[1, i] = T.Cast("float16", A[i])
            H[2, i] = A[i].astype(T.float16)
            H[3, i] = T.cast(A[i], "float16", rounding_mode="rz")
            I[i] = T.cast(A[i] * 100, "int8", saturate=True)
            Y[i] = T.reinterpret("int32", A[i])


STORED = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float64", "float32", "tfloat32",
    "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
    "float6_e2m3fn", "float6_e3m2fn",
)  # fmt: skip


def stored(dtype: str) -> None:
    """Numbers of a dtype go in and out of memory as ml_dtypes has them, and become float32."""

    def reference(A, Y, F):
        return {"Y": A, "F": A.astype(np.float32)}

    def inputs(rng):
        whole = rng.integers(0, 2, N) if dtype == "bool" else np.exp2(rng.integers(0, 3, N))
        return {"A": whole.astype(zeros(1, dtype=dtype).dtype), "Y": zeros(N, dtype=dtype), "F": zeros(N)}

    def kernel(A: T.Tensor((N,), dtype), Y: T.Tensor((N,), dtype), F: T.Tensor((N,), "float32")):
        with T.Kernel(1, threads=32):
            t = T.alloc_fragment((N,), dtype)
            T.copy(A, t)
            T.copy(t, F)
            T.copy(t, Y)

    kernel.__name__ = f"stored_{dtype}"
    CASES.computes(reference, inputs)(kernel)


for _dtype in STORED:
    stored(_dtype)


def _pairs(A, H, B, F, S, E):
    fp8, wide = ml_dtypes.float8_e4m3fn, np.clip(A * 200, -448, 448)
    return {
        "H": A.astype(np.float16),
        "B": A.astype(ml_dtypes.bfloat16),
        "F": A.astype(fp8),
        "S": wide.astype(fp8),
        "E": A.astype(ml_dtypes.float8_e5m2),
    }


@CASES.computes(
    _pairs,
    given(
        A=drawn(floats, 512), H=zeros(512, dtype="float16"), B=zeros(512, dtype="bfloat16"),
        F=zeros(512, dtype="float8_e4m3fn"),
        S=zeros(512, dtype="float8_e4m3fn"), E=zeros(512, dtype="float8_e5m2"),
    ),
    ptx=(
        "cvt.rn.f16x2.f32", "cvt.rn.bf16x2.f32", "cvt.rn.satfinite.e4m3x2.f32", "cvt.rn.satfinite.e5m2x2.f32",
    ),
    target="sm_90a",
)  # fmt: skip
def vectors_are_converted_in_pairs(
    A: T.Tensor((512,), "float32"),
    H: T.Tensor((512,), "float16"),
    B: T.Tensor((512,), "bfloat16"),
    F: T.Tensor((512,), "float8_e4m3fn"),
    S: T.Tensor((512,), "float8_e4m3fn"),
    E: T.Tensor((512,), "float8_e5m2"),
):
    with T.Kernel(1, threads=64):
        T.copy(A, H)
        T.copy(A, B)
        T.copy(A, F)
        for i in T.Parallel(512):
            S[i] = T.cast(A[i] * 200, "float8_e4m3fn", saturate=True)
            E[i] = T.cast(A[i], "float8_e5m2", saturate=True)
