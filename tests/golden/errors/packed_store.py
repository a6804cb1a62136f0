"""A byte is stored as a whole, with both of its numbers."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "int8"), B: T.Tensor((128, 64), "int4")):
    with T.Kernel(1):
        for i, j in T.Parallel(128, 64):
            B[i, j] = A[i, j]


# ruff: noqa
# expect:
# packed_store.py:9:13: TD0289: 'B' holds two numbers of int4 in each byte, so that none can be stored alone
#                 B[i, j] = A[i, j]
#                 ^^^^^^^
#   hint: compute a tile of int8, and T.copy it here
