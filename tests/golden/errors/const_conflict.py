"""Two arguments disagree about a size."""

import tiledsl.language as T


def kernel(A, B):
    M, N = T.const("M, N")
    A: T.Tensor((M, N), T.float32)
    B: T.Tensor((M, N), T.float32)
    with T.Kernel(1):
        A[0, 0] = B[0, 0]


TENSORS = {"A": ((64, 32), "float32"), "B": ((64, 48), "float32")}


# ruff: noqa
# expect:
# const_conflict.py:9:5: TD0127: the size 'N' is 48 in dimension 1 of 'B', but 32 in an earlier tensor
#         B: T.Tensor((M, N), T.float32)
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: pass tensors whose shapes agree, or declare the dimension with another name
