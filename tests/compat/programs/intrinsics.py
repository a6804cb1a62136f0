"""Instructions by hand: ldmatrix, mma and stores of a warp, over tiles that the program swizzles itself."""

import numpy as np

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T
from tiledsl.compat.tilelang.intrinsics import get_swizzle_layout
from tiledsl.compat.tilelang.intrinsics.mma_macro_generator import TensorCoreIntrinEmitter
from tiledsl.compat.tilelang.transform import simplify_prim_func


def swizzle(shared):
    if shared.shape[-1] * T.dtype(shared.dtype).bits != 512:
        return T.Layout(shared.shape, lambda *at: at)
    return T.Layout(shared.shape, lambda i, j: [*get_swizzle_layout(i, j, shared.shape[-1], shared.dtype)])


@tilelang.jit(out_idx=[2])
@simplify_prim_func
def product(M, N, K, in_dtype, out_dtype, accum_dtype):
    micro_x = micro_y = 16
    micro_k = 32 if accum_dtype == "int32" else 16
    row_warps, col_warps, warp_rows, warp_cols, chunk = 1, 2, 32, 16, 64 if in_dtype == "int8" else 32
    block_M, block_N = row_warps * warp_rows, col_warps * warp_cols
    threads = 32 * row_warps * col_warps
    emitter = TensorCoreIntrinEmitter(
        a_dtype=in_dtype,
        b_dtype=in_dtype,
        accum_dtype=accum_dtype,
        a_transposed=False,
        b_transposed=True,
        block_row_warps=row_warps,
        block_col_warps=col_warps,
        warp_row_tiles=warp_rows,
        warp_col_tiles=warp_cols,
        chunk=chunk,
    )

    @T.prim_func
    def main(A: T.Tensor((M, K), in_dtype), B: T.Tensor((N, K), in_dtype), C: T.Tensor((M, N), out_dtype)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, chunk), in_dtype, scope="shared.dyn")
            B_shared = T.alloc_shared((block_N, chunk), in_dtype, scope="shared.dyn")
            C_shared = T.alloc_shared((block_M // micro_x, block_N // micro_y, micro_x, micro_y), out_dtype)
            A_local = T.alloc_local((emitter.warp_rows * emitter.local_size_a), in_dtype)
            B_local = T.alloc_local((emitter.warp_cols * emitter.local_size_b), in_dtype)
            C_local = T.alloc_local((emitter.warp_rows * emitter.warp_cols * emitter.local_size_out), accum_dtype)
            T.annotate_layout({A_shared: swizzle(A_shared), B_shared: swizzle(B_shared)})
            T.use_swizzle(panel_size=10)
            T.clear(C_local)
            for ko in T.Pipelined((K // chunk), num_stages=2):
                for i, k in T.Parallel(block_M, chunk):
                    A_shared[i, k] = A[by * block_M + i, ko * chunk + k]
                for j, k in T.Parallel(block_N, chunk):
                    B_shared[j, k] = B[bx * block_N + j, ko * chunk + k]
                for ki in T.serial(0, (chunk // micro_k)):
                    emitter.ldmatrix_a(A_local, A_shared, ki)
                    emitter.ldmatrix_b(B_local, B_shared, ki)
                    emitter.mma(A_local, B_local, C_local)
            emitter.stmatrix(C_local, C_shared)
            for i, j in T.Parallel(block_M, block_N):
                C[by * block_M + i, bx * block_N + j] = C_shared[i // micro_x, j // micro_y, i % micro_x, j % micro_y]

    return main


def main():
    for in_dtype, out_dtype, accum_dtype in (("float16", "float16", "float32"), ("int8", "int32", "int32")):
        kernel = product(64, 64, 128, in_dtype, out_dtype, accum_dtype)
        source = kernel.get_kernel_source()
        assert "ldmatrix_x4" in source and "cp_async" in source
        profiler = kernel.get_profiler(tilelang.TensorSupplyType.Integer)
        profiler.assert_allclose(lambda a, b: a.astype(np.int64) @ b.astype(np.int64).T, rtol=0, atol=0)
