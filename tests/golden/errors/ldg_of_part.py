"""A part is no element."""

import tiledsl.language as T


def kernel(
    A: T.Tensor((4, 16), "float16"),
    B: T.Tensor((4, 16), "uint32"),
    C: T.Tensor((4, 6), "float16"),
    D: T.Tensor((8,), "float64"),
):
    with T.Kernel(1, threads=32):
        B[0, 0] = T.__ldg(A[0, 0:2])


# ruff: noqa
# expect:
# ldg_of_part.py:13:19: TD0285: T.__ldg cannot take a slice of 'A'
#             B[0, 0] = T.__ldg(A[0, 0:2])
#                       ^^^^^^^^^^^^^^^^^^
#   hint: it needs an element, as A[i]
