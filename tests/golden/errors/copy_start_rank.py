"""A start has too few dimensions for the tile."""

import tiledsl.language as T


def kernel(A: T.Tensor((4096,), "float16")):
    with T.Kernel(4) as b:
        S = T.alloc_shared((32, 64), "float16")
        T.copy(A[b * 32], S)


# ruff: noqa
# expect:
# copy_start_rank.py:9:9: TD0214: T.copy starts at an element of 'A' of rank 1, but 'S' (32, 64) is a tile of rank 2
#             T.copy(A[b * 32], S)
#             ^^^^^^^^^^^^^^^^^^^^
#   hint: slice the other side, or index 'A' in all its dimensions
