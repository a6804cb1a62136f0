"""A loop over the threads has as many iterations."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1, threads=128):
        for t in T.thread_binding(64, "threadIdx.x"):
            A[0, t] = 0


# ruff: noqa
# expect:
# thread_extent.py:8:18: TD0228: the loop over threadIdx.x has 64 iterations, but the kernel has 128 threads there
#             for t in T.thread_binding(64, "threadIdx.x"):
#                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: launch T.Kernel(..., threads=...) with as many threads as the loop has iterations
