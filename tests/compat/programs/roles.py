"""Warp groups with roles, barriers in shared memory: for sm_90."""

import numpy as np

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T


@tilelang.jit(out_idx=[2], target="cuda -arch=sm_90")
def product(M, N, K, block_M=64, block_N=64, block_K=64, dtype="float16", stages=2):
    @T.prim_func
    def main(A: T.Tensor((M, K), dtype), B: T.Tensor((K, N), dtype), C: T.Tensor((M, N), dtype)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=256) as (bx, by):
            A_shared = T.alloc_shared((stages, block_M, block_K), dtype)
            B_shared = T.alloc_shared((stages, block_K, block_N), dtype)
            C_local = T.alloc_fragment((block_M, block_N), "float32")
            full = T.alloc_barrier([128] * stages)
            empty = T.alloc_barrier([128] * stages)
            with T.ws(1):
                for k in range(T.ceildiv(K, block_K)):
                    T.barrier_wait(empty[k % stages], (k // stages) % 2 ^ 1)
                    T.copy(A[by * block_M, k * block_K], A_shared[k % stages, :, :])
                    T.copy(B[k * block_K, bx * block_N], B_shared[k % stages, :, :])
                    T.barrier_arrive(full[k % stages])
            with T.ws(0):
                T.clear(C_local)
                for k in range(T.ceildiv(K, block_K)):
                    T.barrier_wait(full[k % stages], (k // stages) % 2)
                    T.gemm(A_shared[k % stages, :, :], B_shared[k % stages, :, :], C_local)
                    T.barrier_arrive(empty[k % stages])
                T.copy(C_local, C[by * block_M, bx * block_N])

    return main


def main():
    kernel = product(64, 64, 192)
    assert kernel.target == "sm_90a" and "wgmma" in kernel.get_kernel_source()
    a, b = (
        np.random.default_rng(i).integers(-2, 3, s).astype(np.float16) for i, s in enumerate([(64, 192), (192, 64)])
    )
    np.testing.assert_array_equal(kernel(a, b), a.astype(np.float32) @ b.astype(np.float32))
