"""A barrier has no value."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=128):
        bar = T.alloc_barrier([128, 128])
        A[0] = bar[0] + 1


# ruff: noqa
# expect:
# barrier_as_number.py:9:16: TD0249: 'bar' is a barrier, which has no value to read, write or copy
#             A[0] = bar[0] + 1
#                    ^^^^^^^^^^
#   hint: use T.barrier_wait and T.barrier_arrive, or another barrier word
