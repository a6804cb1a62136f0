"""Rows of 4-bit numbers are whole bytes."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 63), "uint4"), B: T.Tensor((128, 63), "int8")):
    with T.Kernel(1):
        T.copy(A, B)


# ruff: noqa
# expect:
# packed_odd_rows.py:6: TD0289: 'A' holds two numbers of uint4 in each byte, and (128, 63) has rows of 63
#     def kernel(A: T.Tensor((128, 63), "uint4"), B: T.Tensor((128, 63), "int8")):
#     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: make rows 64 long
