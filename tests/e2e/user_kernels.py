"""Small kernels as users write them: one language feature or habit each, at sizes that divide nothing."""

from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

NUMPY = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float32": np.float32,
    "float64": np.float64,
    "int8": np.int8,
    "uint8": np.uint8,
    "int32": np.int32,
    "int64": np.int64,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
}


def zeros(*shape, dtype="float32"):
    return np.zeros(shape, NUMPY[dtype])


def numbers(draw, *shape, dtype="float32"):
    return np.abs(draw(*shape)).astype(dtype) if dtype == "uint8" else draw(*shape).astype(NUMPY[dtype])


# -------------------------------------------------------------------------------------- element-wise and broadcasting


def broadcast(M, N, bm, bn, dtype, threads):
    """A row, a column and a number of one element, at partial tiles on both edges."""

    @tiledsl.kernel
    def broadcast(
        A: T.Tensor((M, N), dtype),
        R: T.Tensor((N,), dtype),
        Q: T.Tensor((M,), dtype),
        S: T.Tensor((1,), dtype),
        C: T.Tensor((M, N), dtype),
    ):
        with T.Kernel(T.ceildiv(N, bn), T.ceildiv(M, bm), threads=threads) as (bx, by):
            a, r = T.alloc_fragment((bm, bn), dtype), T.alloc_fragment((bn,), dtype)
            q, s = T.alloc_fragment((bm,), dtype), T.alloc_fragment((1,), dtype)
            T.copy(A[by * bm, bx * bn], a)
            T.copy(R[bx * bn], r)
            T.copy(Q[by * bm], q)
            T.copy(S, s)
            for i, j in T.Parallel(bm, bn):
                a[i, j] = a[i, j] + r[j] - q[i] + s[0]
            T.copy(a, C[by * bm, bx * bn])

    def inputs(draw):
        shapes = {"A": (M, N), "R": (N,), "Q": (M,), "S": (1,), "C": (M, N)}
        return {name: numbers(draw, *shape, dtype=dtype) for name, shape in shapes.items()}

    def reference(A, R, Q, S, C):
        with np.errstate(over="ignore"):
            return {"C": (((A + R).astype(A.dtype) - Q[:, None]).astype(A.dtype) + S).astype(A.dtype)}

    return Case(f"broadcast-{M}x{N}-{dtype}-{threads}", broadcast, inputs, reference)


def fused_index(M, N, threads):
    """`i * N + j` and `k // N, k % N`, to and from shared memory."""

    @tiledsl.kernel
    def fused(A: T.Tensor((M * N,), "float32"), B: T.Tensor((M, N), "float32"), C: T.Tensor((M * N,), "float32")):
        with T.Kernel(1, threads=threads):
            f, s = T.alloc_fragment((M, N), "float32"), T.alloc_shared((M * N,), "float32")
            for i, j in T.Parallel(M, N):
                f[i, j] = A[i * N + j] * 2
            T.copy(f, B)
            for k in T.Parallel(M * N):
                s[k] = B[k // N, k % N] + 1
            T.copy(s, C)

    return Case(
        f"fused-index-{M}x{N}-{threads}",
        fused,
        lambda draw: {"A": numbers(draw, M * N), "B": zeros(M, N), "C": zeros(M * N)},
        lambda A, B, C: {"B": (A * 2).reshape(M, N), "C": A * 2 + 1},
    )


def dynamic_vector(n):
    """Vectors must not be cut by the end of a tensor of unknown length; length 0 launches nothing."""
    size = T.dynamic("n")

    @tiledsl.kernel
    def vector(A: T.Tensor((size,), "float16"), C: T.Tensor((size,), "float16")):
        with T.Kernel(T.ceildiv(size, 512), threads=64) as b:
            s = T.alloc_shared((512,), "float16")
            T.copy(A[b * 512], s)
            for i in T.Parallel(512):
                C[b * 512 + i] = s[i] + s[i]

    return Case(
        f"dynamic-vector-{n}",
        vector,
        lambda draw: {"A": numbers(draw, n, dtype="float16"), "C": zeros(n, dtype="float16")},
        lambda A, C: {"C": A + A},
    )


# --------------------------------------------------------------------------------------------------------------- copies


def converting(source, middle, target, threads):
    """Global, shared, fragment and back, with a conversion on the way and tiles over both edges."""
    M, N, bm, bn = 33, 100, 16, 40

    @tiledsl.kernel
    def convert(A: T.Tensor((M, N), source), C: T.Tensor((M, N), target)):
        with T.Kernel(T.ceildiv(N, bn), T.ceildiv(M, bm), threads=threads) as (bx, by):
            s, f = T.alloc_shared((bm, bn), source), T.alloc_fragment((bm, bn), middle)
            t = T.alloc_shared((bm, bn), target)
            T.copy(A[by * bm, bx * bn], s)
            T.copy(s, f)
            T.copy(f, t)
            T.copy(t, C[by * bm, bx * bn])

    return Case(
        f"convert-{source}-{middle}-{target}",
        convert,
        lambda draw: {"A": numbers(draw, M, N, dtype=source), "C": zeros(M, N, dtype=target)},
        lambda A, C: {"C": A.astype(NUMPY[middle]).astype(NUMPY[target])},
    )


def outside():
    """Starts below 0 and beyond the end, with a safe value; parts of shared tiles; parts with offsets of data."""

    @tiledsl.kernel
    def outside(A: T.Tensor((50, 40), "float32"), start: T.int32, C: T.Tensor((3, 20, 20), "float32")):
        with T.Kernel(1, threads=64):
            T.annotate_safe_value({A: -7.0})
            s, f = T.alloc_shared((20, 20), "float32"), T.alloc_fragment((20, 20), "float32")
            T.copy(A[start, start + 30], s)
            T.copy(s, C[0, :, :])
            T.copy(A[start + 45 : start + 65, start : start + 20], f)
            T.copy(f, C[1, :, :])
            T.copy(s[2:5, 6:14], C[2, 17:20, 0:8])
            T.fill(s[3:10, 5:20], 2)
            T.clear(s[19, :])
            T.copy(s, C[2, start, start])

    def reference(A, start, C):
        padded, out = np.full((90, 90), -7, np.float32), C.copy()
        padded[20:70, 20:60] = A
        s, out[1] = padded[15:35, 45:65].copy(), padded[60:80, 15:35]
        out[0], out[2, 17:20, 0:8] = s, s[2:5, 6:14]
        s[3:10, 5:20], s[19] = 2, 0
        out[2, :15, :15] = s[5:, 5:]
        return {"C": out}

    return Case(
        "outside",
        outside,
        lambda draw: {"A": numbers(draw, 50, 40), "start": np.int32(-5), "C": numbers(draw, 3, 20, 20)},
        reference,
        atol=0,
    )


def strided():
    """Rows that are further apart than they are long, and a transposed tensor."""

    @tiledsl.kernel
    def strided(
        A: T.StridedTensor((40, 24), (48, 1), "float32"),
        B: T.StridedTensor((40, 24), (1, 40), "float32"),
        C: T.Tensor((40, 24), "float32"),
    ):
        with T.Kernel(2, threads=96) as b:
            a, c = T.alloc_shared((24, 24), "float32"), T.alloc_fragment((24, 24), "float32")
            T.copy(A[b * 24, 0], a)
            for i, j in T.Parallel(24, 24):
                c[i, j] = a[i, j] - B[b * 24 + i, j]
            T.copy(c, C[b * 24, 0])

    return Case(
        "strided",
        strided,
        lambda draw: {"A": numbers(draw, 40, 48)[:, :24], "B": numbers(draw, 24, 40).T, "C": zeros(40, 24)},
        lambda A, B, C: {"C": A - B},
    )


def permuted():
    """A 3-D tile through shared memory, by slices, with its dimensions permuted."""

    @tiledsl.kernel
    def permuted(A: T.Tensor((3, 16, 24), "float16"), C: T.Tensor((24, 3, 16), "float16")):
        with T.Kernel(1, threads=96):
            s, o = T.alloc_shared((3, 16, 24), "float16"), T.alloc_shared((24, 3, 16), "float16")
            for h in range(3):
                T.copy(A[h, :, :], s[h, :, :])
            for a, b, c in T.Parallel(3, 16, 24):
                o[c, a, b] = s[a, b, c]
            for h in T.serial(0, 24, 8):
                T.copy(o[h : h + 8, :, :], C[h : h + 8, :, :])

    return Case(
        "permuted",
        permuted,
        lambda draw: {"A": numbers(draw, 3, 16, 24, dtype="float16"), "C": zeros(24, 3, 16, dtype="float16")},
        lambda A, C: {"C": A.transpose(2, 0, 1)},
    )


def views():
    """Other shapes and dtypes of the same bytes; shifted reads of a fragment; parts of fragments."""

    @tiledsl.kernel
    def views(A: T.Tensor((24, 40), "float32"), C: T.Tensor((960,), "float32"), E: T.Tensor((24, 40), "int32")):
        with T.Kernel(1, threads=96):
            s, f = T.alloc_shared((24, 40), "float32"), T.alloc_fragment((24, 40), "float32")
            T.copy(A, s)
            T.copy(T.view(s, dtype="int32"), E)
            T.copy(A[:, 0:20], f[:, 20:40])
            T.copy(A[:, 20:40], f[:, 0:20])
            T.copy(T.reshape(f, (960,)), C)

    return Case(
        "views",
        views,
        lambda draw: {"A": numbers(draw, 24, 40), "C": zeros(960), "E": zeros(24, 40, dtype="int32")},
        lambda A, C, E: {"C": np.roll(A, 20, 1).reshape(-1), "E": A.view(np.int32)},
    )


def gathered():
    """Rows chosen by an index tensor; those outside are read as 0 and not written; 64-bit indices."""

    @tiledsl.kernel
    def gathered(
        A: T.Tensor((50, 40), "float16"),
        Rows: T.Tensor((24,), "int64"),
        C: T.Tensor((24, 40), "float16"),
        S: T.Tensor((50, 40), "float16"),
    ):
        with T.Kernel(3, threads=96) as b:
            rows, f = T.alloc_shared((8,), "int64"), T.alloc_fragment((8, 40), "float16")
            T.copy(Rows[b * 8], rows)
            for i, j in T.Parallel(8, 40):
                f[i, j] = A[rows[i], j]
            T.copy(f, C[b * 8, 0])
            for i in T.serial(8):
                T.copy(A[Rows[b * 8 + i], :], S[Rows[b * 8 + i], :])

    def inputs(draw):
        rows = (draw.rng.permutation(54)[:24] - 2).astype(np.int64)
        A, C = numbers(draw, 50, 40, dtype="float16"), zeros(24, 40, dtype="float16")
        return {"A": A, "Rows": rows, "C": C, "S": zeros(50, 40, dtype="float16")}

    def reference(A, Rows, C, S):
        inside = (Rows >= 0) & (Rows < 50)
        out, scattered = np.where(inside[:, None], A[np.clip(Rows, 0, 49)], np.float16(0)), S.copy()
        scattered[Rows[inside]] = A[Rows[inside]]
        return {"C": out, "S": scattered}

    return Case("gathered", gathered, inputs, reference)


def movement() -> Iterator[Case]:
    yield broadcast(3, 1000, 1, 256, "float16", 32)
    yield broadcast(96, 40, 48, 24, "bfloat16", 96)
    yield broadcast(24, 3, 8, 3, "float64", 64)
    yield broadcast(17, 1000, 4, 1000, "uint8", 128)
    yield broadcast(48, 48, 96, 96, "float32", 384)
    yield fused_index(3, 7, 64)
    yield fused_index(24, 40, 96)
    yield from (dynamic_vector(n) for n in (0, 1, 1001))
    yield converting("float8_e4m3fn", "float32", "float16", 128)
    yield converting("int8", "int32", "int64", 32)
    yield converting("bfloat16", "float32", "float64", 384)
    yield from (outside(), strided(), permuted(), views(), gathered())
