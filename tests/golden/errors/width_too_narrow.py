"""An element that is wider than the access."""

import tiledsl.language as T


def kernel(
    A: T.Tensor((4, 16), "float16"),
    B: T.Tensor((4, 16), "uint32"),
    C: T.Tensor((4, 6), "float16"),
    D: T.Tensor((8,), "float64"),
):
    with T.Kernel(1, threads=32):
        B[0, 0] = T.ldg32(D[0])


# ruff: noqa
# expect:
# width_too_narrow.py:13:19: TD0286: T.ldg32 cannot move 32 bits at (1,) of 'D', which is (8,) of float64
#             B[0, 0] = T.ldg32(D[0])
#                       ^^^^^^^^^^^^^
#   hint: an access of 32 bits needs elements of at most 32 bits
