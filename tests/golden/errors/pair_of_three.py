"""Pairs have two numbers."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 16), "float16"), B: T.Tensor((4, 16), "bfloat16")):
    with T.Kernel(1, threads=32):
        A[0, 0:3] = T.add2(A[0, 0:3], A[0, 0:3])


# ruff: noqa
# expect:
# pair_of_three.py:8:21: TD0285: T.add2 cannot take a slice of 'A'
#             A[0, 0:3] = T.add2(A[0, 0:3], A[0, 0:3])
#                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: it needs two neighbours of float16, bfloat16 or float32, as A[i, 2 * j : 2 * j + 2], what such a word gave, or (x, y)
