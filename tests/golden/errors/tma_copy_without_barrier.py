"""A load completes on a barrier."""

import tiledsl.language as T


def kernel(A: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        S = T.alloc_shared((64, 64), "float32")
        T.tma_copy(A, S)


# ruff: noqa
# expect:
# tma_copy_without_barrier.py:9:9: TD0250: T.tma_copy needs a barrier, not nothing
#             T.tma_copy(A, S)
#             ^^^^^^^^^^^^^^^^
#   hint: say where the load completes: barrier=bar
