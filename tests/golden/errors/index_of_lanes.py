"""Two numbers have no third one."""

import tiledsl.language as T


def kernel(
    A: T.Tensor((4, 16), "float16"),
    B: T.Tensor((4, 16), "uint32"),
    C: T.Tensor((4, 6), "float16"),
    D: T.Tensor((8,), "float64"),
):
    with T.Kernel(1, threads=32):
        B[0, 0] = T.ldg64(A[0, 0])[2]


# ruff: noqa
# expect:
# index_of_lanes.py:13:19: TD0285: 2 numbers of uint32 cannot take the index 2
#             B[0, 0] = T.ldg64(A[0, 0])[2]
#                       ^^^^^^^^^^^^^^^^^^^
#   hint: it needs a constant below 2
