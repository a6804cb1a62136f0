"""Roles of warpgroups, their barriers and registers; asynchronous copies, stores and products."""

import tiledsl.language as T


def kernel(A: T.Tensor((256, 256), "float16"), B: T.Tensor((256, 256), "float16"), C: T.Tensor((256, 256), "float16")):
    with T.Kernel(2, 2, threads=384) as (bx, by):
        T.annotate_producer_reg_dealloc(40)
        T.annotate_consumer_reg_alloc(232)
        A_shared = T.alloc_shared((2, 128, 64), "float16")
        B_shared = T.alloc_shared((2, 64, 128), "float16")
        C_shared = T.alloc_shared((128, 128), "float16")
        C_local = T.alloc_fragment((128, 128), "float32")
        loaded = T.alloc_barrier([128, 128])
        consumed = T.alloc_barrier([256] * 2)
        for k in T.Pipelined(4, num_stages=2):
            with T.ws(0):
                T.dec_max_nreg(40)
                T.barrier_wait(consumed[k % 2], (k // 2 + 1) % 2)
                T.tma_copy(A[by * 128, k * 64], A_shared[k % 2, :, :], barrier=loaded[k % 2])
                T.copy(B[k * 64, bx * 128], B_shared[k % 2, :, :], disable_tma=True)
                ready = loaded[k % 2]
                T.barrier_arrive(ready)
            with T.ws(1, 2):
                T.barrier_wait(loaded[k % 2], k // 2 % 2)
                T.gemm(A_shared[k % 2, :, :], B_shared[k % 2, :, :], C_local, wg_wait=-1)
                T.wait_wgmma(0)
                T.barrier_arrive(consumed[k % 2])
        with T.ws(1, 2):
            T.copy(C_local, C_shared)
            T.fence_proxy_async()
            T.sync_threads()
            T.tma_copy(C_shared, C[by * 128, bx * 128])
            T.tma_store_wait(0)
