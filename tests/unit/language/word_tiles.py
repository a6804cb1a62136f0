"""Kernels of words on tiles and tensors: reductions, layouts, views, shapes of the call."""

from __future__ import annotations

import numpy as np
from word_case import Table, drawn, floats, given, integers, zeros

import tiledsl.language as T

CASES = Table()
OF_INTEGERS = (
    T.reduce_sum, T.reduce_max, T.reduce_min, T.reduce_abssum, T.reduce_absmax, T.reduce_bitand, T.reduce_bitor,
    T.reduce_bitxor,
)  # fmt: skip


def _reductions(A, R, K):
    s = np.abs(A)
    rows = [A.sum(1), A.max(1), A.min(1), s.sum(1), s.max(1)]
    rows += [f.reduce(A, axis=1) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)]
    kept = np.stack([K[0] + A.sum(0), np.maximum(K[1], A.max(0)), np.minimum(K[2], A.min(0))])
    return {"R": np.stack(rows).astype(np.int32), "K": kept.astype(np.int32)}


@CASES.computes(
    _reductions,
    given(A=drawn(integers, 24, 40), R=zeros(8, 24, dtype="int32"), K=drawn(integers, 3, 40)),
    ptx=("shfl.sync.bfly.b32",),
)
def reductions(A: T.Tensor((24, 40), "int32"), R: T.Tensor((8, 24), "int32"), K: T.Tensor((3, 40), "int32")):
    with T.Kernel(1, threads=64):
        a = T.alloc_fragment((24, 40), "int32")
        T.copy(A, a)
        for row, word in enumerate(OF_INTEGERS):
            r = T.alloc_fragment((24,), "int32")
            word(a, r, dim=1)
            T.copy(r, R[row, :])
        for row, word in enumerate((T.reduce_sum, T.reduce_max, T.reduce_min)):
            k = T.alloc_fragment((1, 40), "int32")
            T.copy(K[row : row + 1, :], k)
            word(a, k, dim=0, clear=False)
            T.copy(k, K[row : row + 1, :])


LAYOUTS = (
    T.make_swizzled_layout, T.make_full_bank_swizzled_layout, T.make_half_bank_swizzled_layout,
    T.make_quarter_bank_swizzled_layout, T.make_linear_layout,
)  # fmt: skip


@CASES.computes(
    lambda A, Y: {"Y": np.concatenate([A.T] * 6)}, given(A=drawn(floats, 64, 64, dtype="float16"),
    Y=zeros(384, 64, dtype="float16")), ptx=("ld.shared.", "st.shared.v4"),
)  # fmt: skip
def layouts(A: T.Tensor((64, 64), "float16"), Y: T.Tensor((384, 64), "float16")):
    with T.Kernel(1, threads=64):
        tiles = [T.alloc_shared((64, 64), "float16") for _ in range(6)]
        makers = [*LAYOUTS, lambda s: T.Layout((64, 64), lambda i, j: i * 72 + j)]
        T.annotate_layout({s: make(s) for s, make in zip(tiles, makers)})
        f = T.alloc_fragment((64, 64), "float16")
        T.annotate_layout({f: T.Fragment((64, 64), lambda i, j: (i, j))})
        for n, s in enumerate(tiles):
            T.copy(A, s)
            for i, j in T.Parallel(64, 64):
                f[i, j] = s[j, i]
            T.copy(f, Y[n * 64, 0])


def _views(A, Y, B):
    return {"Y": A.reshape(4, 16).T.copy(), "B": A.view(np.int32)}


@CASES.computes(_views, given(A=drawn(floats, 64), Y=zeros(16, 4), B=zeros(64, dtype="int32")))
def views(A: T.Tensor((64,), "float32"), Y: T.Tensor((16, 4), "float32"), B: T.Tensor((64,), "int32")):
    with T.Kernel(1, threads=32):
        s = T.alloc_shared((64,), "float32")
        T.copy(A, s)
        square = T.reshape(s, (4, 16))
        for i, j in T.Parallel(16, 4):
            Y[i, j] = square[j, i]
        T.copy(T.view(s, dtype="int32"), B)


M, K, S = T.dynamic("m"), T.symbolic("k"), T.dynamic("s")


def _any_shape(A, B, Y, scale):
    return {"Y": np.concatenate([A * np.float32(scale), B], axis=1)}


def any_shape(m: int, k: int) -> None:
    """Every size of the call is dynamic: two dimensions, a stride, the bounds of loops, the grid, a scalar."""

    def inputs(rng):
        wide = floats(rng, m, k + 5)
        return {"A": wide[:, :k], "B": floats(rng, m, k), "Y": zeros(m, 2 * k), "scale": 0.5}

    def kernel(
        A: T.StridedTensor((M, K), (S, 1), "float32"),
        B: T.Tensor((M, K), "float32"),
        Y: T.Tensor((M, 2 * K), "float32"),
        scale: T.float32,
    ):
        with T.Kernel(T.ceildiv(K, 16), M, threads=32) as (bx, by):
            for j in T.serial(bx * 16, T.min(bx * 16 + 16, K)):
                Y[by, j] = A[by, j] * scale
            T.copy(B[by, bx * 16 : bx * 16 + 16], Y[by, K + bx * 16 : K + bx * 16 + 16])

    kernel.__name__ = f"any_shape_{m}x{k}"
    CASES.computes(_any_shape, inputs)(kernel)


for _m, _k in ((1, 1), (5, 16), (3, 37), (0, 8), (4, 0)):
    any_shape(_m, _k)


def _small(A, M, Y, R, C):
    prefix = np.maximum.accumulate(A, axis=1)
    found = [(M[0] != 0).any(), (M[0] != 0).all(), (M[1, :2] != 0).all(), (M != 0).any()]
    return {"Y": np.concatenate([A.reshape(32, 16).reshape(-1), prefix.reshape(-1)]), "R": np.array(found, np.int32),
            "C": A[:16, :16] @ A[:16, :16]}  # fmt: skip


@CASES.computes(
    _small,
    given(
        A=drawn(integers, 16, 32, low=-4, high=4, dtype="float16"), M=np.array([[0, 3, 0], [1, 2, 0]], np.int8),
        Y=zeros(1024, dtype="float16"), R=zeros(4, dtype="int32"), C=zeros(16, 16, dtype="float16"),
    ),
)  # fmt: skip
def small_words(
    A: T.Tensor((16, 32), "float16"),
    M: T.Tensor((2, 3), "int8"),
    Y: T.Tensor((1024,), "float16"),
    R: T.Tensor((4,), "int32"),
    C: T.Tensor((16, 16), "float16"),
):
    with T.Kernel(1, threads=32):
        other = T.Tensor((512,), "float16", A.data)  # the same elements with another shape
        for i in T.Parallel(512):
            Y[i] = other[i]
        tile = T.alloc_shared((16, 32), "float16")
        T.copy(A, tile)
        T.cummax(tile, dim=1)
        for i, j in T.Parallel(16, 32):
            Y[512 + i * 32 + j] = tile[i, j]
        if T.any_of(M[0, :]):
            R[0] = 1
        R[1] = T.all_of(M[0, :])
        R[2] = T.all_of(M[1, 0:2])
        R[3] = T.any_of(M)
        a = T.alloc_shared((16, 16), "float16")
        c = T.alloc_fragment((16, 16), "float32")
        T.copy(A[0, 0], a)
        T.clear(c)
        T.gemm_v1(a, a, c)
        T.clear(c)
        T.gemm_v2(a, a, c)
        T.copy(c, C)
