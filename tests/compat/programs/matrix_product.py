"""A lazy kernel: a factory of sizes, a profiler that compares and measures, the source."""

import numpy as np

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T


@tilelang.jit(
    out_idx=[-1],
    target="auto",
    execution_backend="tvm_ffi",
    pass_configs={
        tilelang.PassConfigKey.TL_ENABLE_FAST_MATH: True,
        tilelang.PassConfigKey.TL_DISABLE_WARP_SPECIALIZED: True,
        "tl.disable_tma_lower": True,
    },
)
def matmul(M, N, K, block_M, block_N, block_K, dtype="float16", accum_dtype="float"):
    @T.prim_func
    def gemm(A: T.Tensor((M, K), dtype), B: T.Tensor((N, K), dtype), C: T.Tensor((M, N), dtype)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=128) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), dtype)
            B_shared = T.alloc_shared((block_N, block_K), dtype)
            C_local = T.alloc_fragment((block_M, block_N), accum_dtype)
            T.annotate_layout({A_shared: tilelang.layout.make_swizzled_layout(A_shared)})
            T.use_swizzle(panel_size=10, enable=True)
            T.clear(C_local)
            for ko in T.Pipelined(T.ceildiv(K, block_K), num_stages=2):
                T.copy(A[by * block_M, ko * block_K], A_shared)
                for i, k in T.Parallel(block_N, block_K):
                    B_shared[i, k] = B[bx * block_N + i, ko * block_K + k]
                T.gemm(A_shared, B_shared, C_local, transpose_B=True, policy=T.GemmWarpPolicy.Square)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm


def main():
    kernel = matmul(64, 96, 64, 32, 32, 32)
    assert kernel is matmul(64, 96, 64, 32, 32, block_K=32), "kernels are kept by their arguments"
    a = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float16)
    b = np.random.default_rng(1).standard_normal((96, 64)).astype(np.float16)
    reference = a.astype(np.float32) @ b.astype(np.float32).T
    np.testing.assert_allclose(kernel(a, b), reference, rtol=1e-2, atol=1e-2)

    profiler = kernel.get_profiler(tensor_supply_type=tilelang.TensorSupplyType.Normal)
    profiler.assert_allclose(lambda x, y: x.astype(np.float32) @ y.astype(np.float32).T, rtol=1e-2, atol=1e-2)
    profiler.assert_consistent(repeat=2)
    assert profiler.do_bench(warmup=1, rep=1) > 0
    assert "mma_m16n8k16" in kernel.get_kernel_source() and kernel.out_idx == [2]
