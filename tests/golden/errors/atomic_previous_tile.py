"""Old values are returned for elements only."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        T.atomic_add(A, S, return_prev=True)


# ruff: noqa
# expect:
# atomic_previous_tile.py:9:9: TD0242: T.atomic_add returns old values of elements only, not of tiles
#             T.atomic_add(A, S, return_prev=True)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: write it in a T.Parallel loop, on elements
