"""A constant index before the beginning."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(128):
            A[i, -65] = 0


# ruff: noqa
# expect:
# index_negative.py:9:13: TD0208: index -65 is out of range for dimension 1 of 'A' (128, 64)
#                 A[i, -65] = 0
#                 ^^^^^^^^^
#   hint: indices count from 0, negative ones from the end
