"""Kernels of words on numbers that say how they are computed: directions of rounding, pairs, random numbers."""

from __future__ import annotations

import numpy as np
from word_case import Table, drawn, given, integers, zeros

import tiledsl.language as T
from tiledsl.frontend.typenames import dtype_named
from tiledsl.testing.laws.directed import expected

CASES = Table()
N = 64
DIRECTIONS = ("rn", "rz", "ru", "rd")
OPERATIONS = ("add", "sub", "mul", "div", "fma", "rcp", "sqrt")


def directed(name: str) -> None:
    """Every operation in every direction, against exact fractions."""
    dtype, rows = dtype_named(name), [f"{o}_{d}" for o in OPERATIONS for d in DIRECTIONS]
    rows += ["rsqrt_rn"] if name == "float32" else []
    M = len(rows)

    def reference(A, B, C, Y):
        def operands(row, i):
            return (A[i],) if row.startswith(("rcp", "sqrt", "rsqrt")) else (A[i], B[i], C[i])[: 2 + ("fma" in row)]

        exact = [[expected(row, dtype, tuple(map(float, operands(row, i)))) for i in range(N)] for row in rows]
        return {"Y": np.array(exact).astype(Y.dtype)}

    def kernel(A: T.Tensor((N,), name), B: T.Tensor((N,), name), C: T.Tensor((N,), name), Y: T.Tensor((M, N), name)):
        with T.Kernel(1, threads=32):
            for i in T.Parallel(N):
                for d, mode in enumerate(DIRECTIONS):
                    Y[d, i] = T.ieee_add(A[i], B[i], mode)
                    Y[4 + d, i] = T.ieee_sub(A[i], B[i], mode)
                    Y[8 + d, i] = T.ieee_mul(A[i], B[i], rounding_mode=mode)
                    Y[12 + d, i] = T.ieee_fdiv(A[i], B[i], mode)
                    Y[16 + d, i] = T.ieee_fmaf(A[i], B[i], C[i], mode)
                    Y[20 + d, i] = T.ieee_frcp(A[i], mode)
                    Y[24 + d, i] = T.ieee_fsqrt(A[i], mode)
                if name == "float32":
                    Y[28, i] = T.ieee_frsqrt(A[i])

    kernel.__name__ = f"directed_{name}"
    suffix = "f32" if name == "float32" else "f64"
    parts = [f"{o}.{d}.{suffix}" for o in ("add", "sub", "mul", "fma", "div", "rcp", "sqrt") for d in _PTX]
    numbers = drawn(lambda rng, n: rng.uniform(0.25, 4.0, n).astype(name), N)
    CASES.computes(reference, given(A=numbers, B=numbers, C=numbers, Y=zeros(M, N, dtype=name)), ptx=tuple(parts))(
        kernel
    )


_PTX = ("rn", "rz", "rp", "rm")
for _name in ("float32", "float64"):
    directed(_name)


PAIR = {"float16": "f16x2", "bfloat16": "bf16x2"}


def pairs(name: str) -> None:
    """Every operation on neighbours of two tensors, alone and in a chain, against exact fractions."""
    holder = zeros(1, dtype=name).dtype
    dtype = dtype_named(name)

    def reference(A, B, C, Y):
        def once(row, *operands):
            numbers = zip(*(map(float, x) for x in operands))
            return np.array([expected(f"{row}_rn", dtype, n) for n in numbers]).astype(holder)

        a, b, c = A[0], B[0], C[0]
        rows = [once("add", a, b), once("sub", a, b), once("mul", a, b), once("fma", a, b, c)]
        rows += [np.maximum(a, b), np.minimum(a, b), np.abs(a)]
        rows += [once("sub", once("mul", once("add", a, b), c), np.full(N, 3, holder))]
        return {"Y": np.stack(rows).astype(holder)}

    def kernel(
        A: T.Tensor((1, N), name), B: T.Tensor((1, N), name), C: T.Tensor((1, N), name), Y: T.Tensor((8, N), name)
    ):
        with T.Kernel(1, threads=16):
            for i in T.Parallel(N // 2):
                a, b, c = A[0, 2 * i : 2 * i + 2], B[0, 2 * i : 2 * i + 2], C[0, 2 * i : 2 * i + 2]
                Y[0, 2 * i : 2 * i + 2] = T.add2(a, b)
                Y[1, 2 * i : 2 * i + 2] = T.sub2(a, b)
                Y[2, 2 * i : 2 * i + 2] = T.mul2(a, b)
                Y[3, 2 * i : 2 * i + 2] = T.fma2(a, b, c)
                Y[4, 2 * i : 2 * i + 2] = T.max2(a, b)
                Y[5, 2 * i : 2 * i + 2] = T.min2(a, b)
                Y[6, 2 * i : 2 * i + 2] = T.abs2(a)
                p = T.mul2(T.add2(a, b), c)
                Y[7, 2 * i : 2 * i + 2] = T.sub2((p[0], p[1]), (3, 3.0))

    kernel.__name__ = f"pairs_of_{name}"
    numbers = drawn(lambda rng, n: (rng.standard_normal((1, n)) * 4).astype(np.float32).astype(holder), N)
    instructions = ("add.rn", "sub.rn", "mul.rn", "fma.rn", "max.NaN", "min.NaN", "abs")
    ptx = [f"{x}.{PAIR[name]}" for x in instructions] if name in PAIR else ["add.f32", "fma.rn.f32", "abs.f32"]
    ptx += ["ld.global.nc.v2", "st.global.v2"]
    more = given(A=numbers, B=numbers, C=numbers, Y=zeros(8, N, dtype=name))
    CASES.computes(reference, more, ptx=tuple(ptx), target="sm_90a")(kernel)


for _name in ("float16", "bfloat16", "float32"):
    pairs(_name)


def _side_by_side(A, Y):
    return {"Y": A + np.array([1, 2] * 8, np.float16)}


@CASES.computes(
    _side_by_side,
    given(A=drawn(integers, 16, 16, dtype="float16"), Y=zeros(16, 16, dtype="float16")),
    ptx=("add.rn.f16x2", "ld.shared.v2"),
)
def pairs_in_other_memory(A: T.Tensor((16, 16), "float16"), Y: T.Tensor((16, 16), "float16")):
    """Of shared tiles, of arrays of threads, and under a condition."""
    with T.Kernel(1, threads=32):
        S = T.alloc_shared((16, 16), "float16")
        L = T.alloc_local((4,), "float16")
        t = T.get_thread_binding()
        T.copy(A, S)
        for i, j in T.Parallel(16, 6):
            if (i + j) % 2 == 0:
                S[i, 2 * j : 2 * j + 2] = T.add2(S[i, 2 * j : 2 * j + 2], (1, 2))
            else:
                first, second = T.add2((S[i, 2 * j], S[i, 2 * j + 1]), (1, 2.0))
                S[i, 2 * j] = first
                S[i, 2 * j + 1] = second
        if t < 16:
            for v in T.vectorized(4):
                L[v] = S[t, 12 + v]
            for v in T.unroll(2):
                L[2 * v : 2 * v + 2] = T.add2(L[2 * v : 2 * v + 2], (1, 2))
            for v in T.vectorized(4):
                S[t, 12 + v] = L[v]
        T.sync_threads()
        T.copy(S, Y)
