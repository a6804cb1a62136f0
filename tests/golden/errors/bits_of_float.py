"""Bit operations take integers."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            A[0, i] = A[0, i] & 1


# ruff: noqa
# expect:
# bits_of_float.py:9:23: TD0223: '&' does not work on A[0, i] (float16) and 1 (int)
#                 A[0, i] = A[0, i] & 1
#                           ^^^^^^^^^^^
#   hint: it takes integers; use T.reinterpret to reach the bits of a float
