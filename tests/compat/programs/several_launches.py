"""Partial results of many blocks: two kernels in one function, and atomic updates."""

import numpy as np

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T


@tilelang.jit(out_idx=-1)
def split(M, N, K, pieces, block=32, dtype="float16"):
    part = K // pieces

    @T.prim_func
    def main(
        A: T.Tensor((M, K), dtype),
        B: T.Tensor((K, N), dtype),
        Partial: T.Tensor((pieces, M, N), "float32"),
        C: T.Tensor((M, N), "float32"),
    ):
        with T.Kernel(T.ceildiv(N, block), T.ceildiv(M, block), pieces, threads=64) as (bx, by, bz):
            A_shared, B_shared = T.alloc_shared((block, block), dtype), T.alloc_shared((block, block), dtype)
            C_local = T.alloc_fragment((block, block), "float32")
            T.clear(C_local)
            for k in T.serial(part // block):
                T.copy(A[by * block, bz * part + k * block], A_shared)
                T.copy(B[bz * part + k * block, bx * block], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, Partial[bz, by * block, bx * block])
        with T.Kernel(T.ceildiv(N, block), T.ceildiv(M, block), threads=64) as (bx, by):
            total = T.alloc_fragment((block, block), "float32")
            T.clear(total)
            for p in range(pieces):
                for i, j in T.Parallel(block, block):
                    total[i, j] += Partial[p, by * block + i, bx * block + j]
            T.copy(total, C[by * block, bx * block])

    return main


@tilelang.jit
def histogram(N, bins, threads=64):
    @T.prim_func
    def main(X: T.Tensor((N,), "int32"), H: T.Tensor((bins,), "int32")):
        with T.Kernel(T.ceildiv(N, threads), threads=threads) as bx:
            for i in T.Parallel(threads):
                if bx * threads + i < N:
                    T.atomic_add(H[X[bx * threads + i]], 1)

    return main


def main():
    rng = np.random.default_rng(0)
    a, b = rng.integers(-3, 4, (64, 128)).astype(np.float16), rng.integers(-3, 4, (128, 32)).astype(np.float16)
    partial = np.empty((2, 64, 32), np.float32)
    kernel = split(64, 32, 128, 2)
    np.testing.assert_array_equal(kernel(a, b, partial), a.astype(np.float32) @ b.astype(np.float32))
    assert kernel.get_kernel_source().count("TDS_KERNEL(64") == 2
    x, h = rng.integers(0, 10, 100).astype(np.int32), np.zeros(10, np.int32)
    histogram(100, 10)(x, h)
    np.testing.assert_array_equal(h, np.bincount(x, minlength=10))
