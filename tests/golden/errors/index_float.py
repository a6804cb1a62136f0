"""A float is no index."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            A[0, A[1, i]] = 0


# ruff: noqa
# expect:
# index_float.py:9:13: TD0209: A[1, i] (float16) cannot be an index: an integer is needed
#                 A[0, A[1, i]] = 0
#                 ^^^^^^^^^^^^^
#   hint: convert it: T.cast(x, T.int32)
