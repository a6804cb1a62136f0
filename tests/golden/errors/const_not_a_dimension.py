"""A size of T.const must be a dimension."""

import tiledsl.language as T


def kernel(A):
    M, N, K = T.const("M, N, K")
    A: T.Tensor((M, N), T.float32)
    with T.Kernel(K):
        A[0, 0] = 0


TENSORS = {"A": ((64, 32), "float32")}


# ruff: noqa
# expect:
# const_not_a_dimension.py:7:15: TD0126: the size 'K' of T.const is no dimension of any tensor parameter
#         M, N, K = T.const("M, N, K")
#                   ^^^^^^^^^^^^^^^^^^
#   hint: declare a tensor with it: A: T.Tensor((K, ...), dtype)
