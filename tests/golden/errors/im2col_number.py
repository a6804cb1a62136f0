"""The numbers of a filter are known at trace time."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 8, 8, 32), "float16"), stride: T.int32):
    with T.Kernel(4, threads=128) as bx:
        S = T.alloc_shared((64, 32), "float16")
        T.im2col(A, S, bx, 0, 3, stride, 1, 1)


# ruff: noqa
# expect:
# im2col_number.py:9:9: TD0226: stride of T.im2col cannot be stride (int32)
#             T.im2col(A, S, bx, 0, 3, stride, 1, 1)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: a positive int
