"""More bits than the access has."""

import tiledsl.language as T


def kernel(
    A: T.Tensor((4, 16), "float16"),
    B: T.Tensor((4, 16), "uint32"),
    C: T.Tensor((4, 6), "float16"),
    D: T.Tensor((8,), "float64"),
):
    with T.Kernel(1, threads=32):
        T.stg64(A[0, 0], T.ldg128(A[0, 0]))


# ruff: noqa
# expect:
# width_of_value.py:13:9: TD0285: T.stg64 cannot take 4 numbers of uint32
#             T.stg64(A[0, 0], T.ldg128(A[0, 0]))
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: it needs numbers of 64 bits in all
