"""A constant index past the end."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(128):
            A[i, 64] = 0


# ruff: noqa
# expect:
# index_out_of_range.py:9:13: TD0208: index 64 is out of range for dimension 1 of 'A' (128, 64)
#                 A[i, 64] = 0
#                 ^^^^^^^^
#   hint: indices count from 0, negative ones from the end
