"""A run-time size that no tensor has."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(T.ceildiv(T.dynamic("rows"), 64)):
        A[0, 0] = 0


# ruff: noqa
# expect:
# dynamic_unknown.py:7:10: TD0141: the size 'rows' of T.dynamic is no dimension of any tensor parameter
#         with T.Kernel(T.ceildiv(T.dynamic("rows"), 64)):
#              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: declare a tensor with it, or pass it as a scalar parameter: rows: T.int32
