"""Arithmetic works on elements."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_fragment((128, 64), "float16")
        T.copy(A, S)
        S = S * 2


# ruff: noqa
# expect:
# tensor_arithmetic.py:10:13: TD0232: arithmetic works on elements, and 'S' is a tensor
#             S = S * 2
#                 ^^^^^
#   hint: write it element by element: for i, j in T.Parallel(...): C[i, j] = A[i, j] + ...
