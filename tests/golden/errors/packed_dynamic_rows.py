"""How many bytes a row has is known when the kernel is compiled."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, T.dynamic("n")), "int4"), B: T.Tensor((128, 64), "int8")):
    with T.Kernel(1):
        T.copy(A[:, 0:64], B)


# ruff: noqa
# expect:
# packed_dynamic_rows.py:6: TD0289: 'A' holds two numbers of int4 in each byte, and its rows have a length that only the call knows
#     def kernel(A: T.Tensor((128, T.dynamic("n")), "int4"), B: T.Tensor((128, 64), "int8")):
#     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: make it a constant
