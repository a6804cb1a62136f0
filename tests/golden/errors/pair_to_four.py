"""Two numbers are no four."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 16), "float16"), B: T.Tensor((4, 16), "bfloat16")):
    with T.Kernel(1, threads=32):
        A[0, 0:4] = T.abs2(A[0, 0:2])


# ruff: noqa
# expect:
# pair_to_four.py:8:9: TD0285: (1, 4) of 'A' cannot take 2 numbers of float16
#             A[0, 0:4] = T.abs2(A[0, 0:2])
#             ^^^^^^^^^
#   hint: it needs one number for each neighbour of the last dimension
