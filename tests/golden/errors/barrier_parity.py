"""Phases are even or odd."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=128):
        bar = T.alloc_barrier(128)
        T.barrier_wait(bar, 2)


# ruff: noqa
# expect:
# barrier_parity.py:9:9: TD0226: parity of T.barrier_wait cannot be 2
#             T.barrier_wait(bar, 2)
#             ^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: 0 or 1: the number of the phase % 2
