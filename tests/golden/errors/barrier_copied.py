"""A barrier is no tile."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "uint64")):
    with T.Kernel(1, threads=128):
        bar = T.alloc_barrier([128] * 64)
        T.copy(A, bar)


# ruff: noqa
# expect:
# barrier_copied.py:9:9: TD0249: 'bar' is a barrier, which has no value to read, write or copy
#             T.copy(A, bar)
#             ^^^^^^^^^^^^^^
#   hint: use T.barrier_wait and T.barrier_arrive, or another barrier word
