"""The lanes of a vector are a constant."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        for i in T.vectorized(n):
            A[0, i] = 0


# ruff: noqa
# expect:
# vectorized_extent.py:8:18: TD0220: T.vectorized needs a constant size, not n (int32)
#             for i in T.vectorized(n):
#                      ^^^^^^^^^^^^^^^
#   hint: use a Python int, a compile-time parameter, or a size of T.const
