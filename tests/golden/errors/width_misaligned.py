"""An odd place is no place of two halves."""

import tiledsl.language as T


def kernel(
    A: T.Tensor((4, 16), "float16"),
    B: T.Tensor((4, 16), "uint32"),
    C: T.Tensor((4, 6), "float16"),
    D: T.Tensor((8,), "float64"),
):
    with T.Kernel(1, threads=32):
        B[0, 0] = T.ldg32(A[0, 1])


# ruff: noqa
# expect:
# width_misaligned.py:13:19: TD0286: T.ldg32 cannot move 32 bits at (1, 1) of 'A', which is (4, 16) of float16
#             B[0, 0] = T.ldg32(A[0, 1])
#                       ^^^^^^^^^^^^^^^^
#   hint: an access of 32 bits needs a last index that is a multiple of 2
