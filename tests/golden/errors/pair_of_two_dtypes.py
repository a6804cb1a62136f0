"""Pairs of one operation have one dtype."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 16), "float16"), B: T.Tensor((4, 16), "bfloat16")):
    with T.Kernel(1, threads=32):
        A[0, 0:2] = T.add2(A[0, 0:2], B[0, 0:2])


# ruff: noqa
# expect:
# pair_of_two_dtypes.py:8:21: TD0285: T.add2 cannot take 2 numbers of float16 and 2 numbers of bfloat16
#             A[0, 0:2] = T.add2(A[0, 0:2], B[0, 0:2])
#                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: it needs pairs of one dtype; Python numbers alone have none
