"""Integers have no infinity."""

import tiledsl.language as T


def kernel(B: T.Tensor((64,), "int32")):
    with T.Kernel(1):
        B[0] = T.infinity("int32")


# ruff: noqa
# expect:
# integer_infinity.py:8:16: TD0245: T.infinity of int32
#             B[0] = T.infinity("int32")
#                    ^^^^^^^^^^^^^^^^^^^
#   hint: integers have none: use T.max_value or T.min_value
