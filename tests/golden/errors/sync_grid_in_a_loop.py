"""A barrier of the grid in a loop."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 64), "float32")):
    with T.Kernel(8, threads=64) as b:
        for k in range(4):
            A[b, k] = 1
            T.sync_grid()


# ruff: noqa
# expect:
# sync_grid_in_a_loop.py:10:13: TD0154: T.sync_grid stands in the loop over 'k'
#                 T.sync_grid()
#                 ^^^^^^^^^^^^^
#   hint: move it into the T.Kernel block itself, or end the block and open another: launches run in order
