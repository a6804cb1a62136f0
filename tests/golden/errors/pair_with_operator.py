"""Operators work on single numbers."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 16), "float16"), B: T.Tensor((4, 16), "bfloat16")):
    with T.Kernel(1, threads=32):
        A[0, 0:2] = T.abs2(A[0, 0:2]) + T.abs2(A[0, 2:4])


# ruff: noqa
# expect:
# pair_with_operator.py:8:21: TD0285: '+' cannot take 2 numbers of float16
#             A[0, 0:2] = T.abs2(A[0, 0:2]) + T.abs2(A[0, 2:4])
#                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: it needs single numbers, as v[0], or T.add2 and its like
