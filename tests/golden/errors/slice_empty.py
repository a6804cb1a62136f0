"""The end of a slice lies before its start."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((64, 64), "float16")
        T.copy(A[64:0, :], S)


# ruff: noqa
# expect:
# slice_empty.py:9:16: TD0212: dimension 0 of the slice of 'A' has -64 elements
#             T.copy(A[64:0, :], S)
#                    ^^^^^^^^^^
#   hint: the end of a slice lies behind its start
