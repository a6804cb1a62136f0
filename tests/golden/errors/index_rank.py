"""More indices than dimensions."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i, j in T.Parallel(128, 64):
            A[0, i, j] = 0


# ruff: noqa
# expect:
# index_rank.py:9:13: TD0207: 'A' has 2 dimensions (128, 64), and 3 indices are given
#                 A[0, i, j] = 0
#                 ^^^^^^^^^^
#   hint: give at most one index for each dimension
