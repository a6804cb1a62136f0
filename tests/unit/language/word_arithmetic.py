"""Kernels of words on numbers that say how they are computed: directions of rounding, pairs, random numbers."""

from __future__ import annotations

import numpy as np
from word_case import Table, drawn, given, zeros

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
