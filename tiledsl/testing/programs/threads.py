"""Code by threads: their numbers, loops bound to them, barriers, private arrays."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 32), "float32"), B: T.Tensor((4,), "float32"), C: T.Tensor((4, 32), "float32")):
    with T.Kernel(1, threads=(32, 4)):
        x, y = T.get_thread_bindings()
        S = T.alloc_shared((4, 32), "float32")
        S[y, x] = A[y, x] * 2
        T.sync_threads()
        if x == y:
            B[y] = S[y, 31 - x] + T.get_thread_extent(1)
        pair = T.alloc_local((2,), "float32")
        for tx in T.thread_binding(32, "threadIdx.x"):
            for q in T.unroll(2):
                pair[q] = S[y, (tx + q) % 32]
            C[y, tx] = pair[0] - pair[1]
