"""A constant divisor of zero."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(T.ceildiv(128, 0)):
        A[0, 0] = 0


# ruff: noqa
# expect:
# division_by_zero.py:7:19: TD0244: T.ceildiv by zero
#         with T.Kernel(T.ceildiv(128, 0)):
#                       ^^^^^^^^^^^^^^^^^
#   hint: the divisor must not be 0
