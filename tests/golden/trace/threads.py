"""Code by threads: their numbers, loops bound to them, barriers, private arrays."""

import numpy as np

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


def inputs(rng):
    a = rng.integers(-9, 9, (4, 32)).astype(np.float32)
    return {"A": a, "B": np.zeros(4, np.float32), "C": np.zeros((4, 32), np.float32)}


def reference(A, B, C):
    return {"B": A[np.arange(4), 31 - np.arange(4)] * 2 + 4, "C": A * 2 - np.roll(A * 2, -1, 1)}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[4, 32], B: global float32[4], C: global float32[4, 32]) {
#   launch kernel(bx in 1) threads(thread in 32, 4) {
#     let x = thread % 32
#     let y = thread // 32
#     alloc S: shared float32[4, 32]
#     S[y, x] = A[y, x] * 2.0
#     barrier
#     if x == y {
#       B[y] = S[y, 31 - x] + 4.0
#     }
#     alloc pair: local float32[2]
#     for q in 2 unrolled {
#       pair[q] = S[y, (thread % 32 + q) % 32]
#     }
#     C[y, thread % 32] = pair[0] - pair[1]
#   }
# }
