"""A tile is no barrier."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=128):
        S = T.alloc_shared((64,), "float32")
        T.barrier_wait(S, 0)


# ruff: noqa
# expect:
# barrier_tile.py:9:9: TD0250: T.barrier_wait needs a barrier, not 'S'
#             T.barrier_wait(S, 0)
#             ^^^^^^^^^^^^^^^^^^^^
#   hint: make barriers with T.alloc_barrier
