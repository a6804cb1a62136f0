"""A part that is shorter than the access."""

import tiledsl.language as T


def kernel(
    A: T.Tensor((4, 16), "float16"),
    B: T.Tensor((4, 16), "uint32"),
    C: T.Tensor((4, 6), "float16"),
    D: T.Tensor((8,), "float64"),
):
    with T.Kernel(1, threads=32):
        B[0, 0] = T.ldg64(A[0, 0:2])[0]


# ruff: noqa
# expect:
# width_of_part.py:13:19: TD0286: T.ldg64 cannot move 64 bits at (1, 2) of 'A', which is (4, 16) of float16
#             B[0, 0] = T.ldg64(A[0, 0:2])[0]
#                       ^^^^^^^^^^^^^^^^^^
#   hint: an access of 64 bits needs 4 neighbours of float16, or the first of them
