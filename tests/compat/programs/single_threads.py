"""Threads as in CUDA: bindings of both dimensions, shuffles, variables, a barrier."""

import numpy as np

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T


@tilelang.jit(out_idx=[2])
def gemv(N, K, rows=4, lanes=32, wide=4):
    @T.prim_func
    def main(A: T.Tensor((K,), "float16"), B: T.Tensor((N, K), "float16"), C: T.Tensor((N,), "float32")):
        with T.Kernel(T.ceildiv(N, rows), threads=(lanes, rows)) as bn:
            tk = T.get_thread_binding(0)
            tn = T.get_thread_binding(1)
            a, b = T.alloc_local((wide,), "float16"), T.alloc_local((wide,), "float16")
            total = T.alloc_var("float32", init=0)
            for k in T.serial(T.ceildiv(K, lanes * wide)):
                for v in T.vectorized(wide):
                    a[v] = A[(k * lanes + tk) * wide + v]
                    b[v] = B[bn * rows + tn, (k * lanes + tk) * wide + v]
                for v in T.serial(wide):
                    total = total + a[v].astype("float32") * b[v].astype("float32")
            total = T.warp_reduce_sum(total)
            if tk == 0:
                C[bn * rows + tn] = total

    return main


@tilelang.jit(out_idx=[1])
def reversed_blocks(N, threads=64):
    @T.prim_func
    def main(A: T.Tensor((N,), "int32"), B: T.Tensor((N,), "int32")):
        with T.Kernel(N // threads, threads=threads) as bx:
            tile = T.alloc_shared((threads,), "int32")
            for tx in T.thread_binding(threads, "threadIdx.x"):
                tile[tx] = A[bx * threads + tx]
                T.sync_threads()
                B[bx * threads + tx] = tile[threads - 1 - tx]

    return main


def main():
    kernel = gemv(10, 256)
    kernel.get_profiler(tilelang.TensorSupplyType.Integer).assert_allclose(
        lambda a, b: b.astype(np.float32) @ a.astype(np.float32), rtol=0, atol=0
    )
    a = np.arange(128, dtype=np.int32)
    np.testing.assert_array_equal(reversed_blocks(128)(a), a.reshape(2, 64)[:, ::-1].ravel())
