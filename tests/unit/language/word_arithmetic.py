"""Kernels of words on numbers that say how they are computed: directions of rounding, pairs, random numbers."""

from __future__ import annotations

import numpy as np
from word_case import Table, drawn, given, integers, zeros

import tiledsl.language as T
from tiledsl.cpu.philox import block
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


def drawn_numbers(seed: int, sequence: int, first: int, count: int) -> np.ndarray:
    """Numbers of a sequence, from the blocks that the published vectors test."""
    with np.errstate(over="ignore"):
        high, key = (np.uint32(sequence >> 32), (np.uint32(seed % 2**32), np.uint32(seed >> 32)))
        blocks = [
            block((np.uint32(n // 4 % 2**32), np.uint32(n // 4 >> 32), np.uint32(sequence % 2**32), high), key)[n % 4]
            for n in range(first, first + count)
        ]
    return np.array(blocks, np.uint32)


SEED, OFF = 0x123456789ABCDEF, 2**32 + 1


def _of_threads(A, B):
    rows = [drawn_numbers(SEED, thread, OFF, 5) for thread in range(64)]
    second = [drawn_numbers(7, 3 + thread // 32, thread % 32, 1)[0] for thread in range(64)]
    return {"A": np.stack(rows), "B": np.array(second)}


@CASES.computes(
    _of_threads, given(A=zeros(64, 5, dtype="uint32"), B=zeros(64, dtype="uint32")), ptx=("mul.hi.u32", "xor.b32")
)
def random_of_threads(A: T.Tensor((64, 5), "uint32"), B: T.Tensor((64,), "uint32")):
    """By default the threads of the grid are sequences; another may hold for a while."""
    with T.Kernel(2, threads=32) as bx:
        t = T.get_thread_binding()
        T.rng_init(SEED, off=OFF)
        A[bx * 32 + t, 0] = T.rng_rand()
        for k in range(3):
            A[bx * 32 + t, 1 + k] = T.rng_rand()
        if t >= 0:
            T.rng_init(7, 3 + bx, t)
            B[bx * 32 + t] = T.rng_rand()
        A[bx * 32 + t, 4] = T.rng_rand()


def _of_points(A, B):
    found = [drawn_numbers(9, 2**63 + bx, 0, 4 * 96).reshape(4, 96) for bx in range(2)]
    first = np.concatenate([np.stack([d[0], d[2]], 1) for d in found])
    second = np.concatenate([np.stack([d[1], d[3]], 1) for d in found])
    kept = np.arange(12).reshape(12, 1) >= 5
    return {"A": first.reshape(-1, 8, 12, 2), "B": second.reshape(-1, 8, 12, 2) * kept.astype(np.uint32)}


@CASES.computes(_of_points, given(A=zeros(2, 8, 12, 2, dtype="uint32"), B=zeros(2, 8, 12, 2, dtype="uint32")))
def random_of_points(A: T.Tensor((2, 8, 12, 2), "uint32"), B: T.Tensor((2, 8, 12, 2), "uint32")):
    """Points draw the same numbers however they are dealt to threads, under a condition too."""
    with T.Kernel(2, threads=64) as bx:
        T.rng_init(9)
        for k in range(2):
            for i, j in T.Parallel(8, 12):
                A[bx, i, j, k] = T.rng_rand()
                if j >= 5:
                    B[bx, i, j, k] = T.rng_rand()


def _floats(A, D, M):
    u, v = drawn_numbers(1, 2**63 + 5, 0, 128).reshape(2, 64).astype(np.int64)
    high, low = drawn_numbers(1, 2**63 + 5, 128, 128).reshape(2, 64).astype(np.uint64)
    wide = drawn_numbers(1, 2**63 + 5, 256, 128).reshape(2, 64)
    radius = np.sqrt(-2 * np.log(1 - (wide[0] >> 8) / 2**24))
    return {
        "A": np.stack([u >> 8, v >> 8]).astype(np.float32) / np.float32(2**24),
        "D": ((high << np.uint64(32) | low) >> np.uint64(11)).astype(np.float64) / 2**53,
        "M": (radius * np.cos(2 * np.pi * (wide[1] >> 8) / 2**24)).astype(np.float32),
    }


@CASES.computes(_floats, given(A=zeros(2, 64), D=zeros(64, dtype="float64"), M=zeros(64)), rtol=1e-5)
def random_floats(A: T.Tensor((2, 64), "float32"), D: T.Tensor((64,), "float64"), M: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=32):
        T.rng_init(1, seq=5)
        for i in T.Parallel(64):
            A[0, i] = T.rng_rand_float()
            A[1, i] = T.rng_rand_float(dist="uniform")
            D[i] = T.rng_rand_float(64)
            M[i] = T.rng_rand_float(32, "normal")
