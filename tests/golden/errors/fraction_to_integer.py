"""A fraction is no integer."""

import tiledsl.language as T


def kernel(B: T.Tensor((64,), "int32")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            B[i] = 0.5


# ruff: noqa
# expect:
# fraction_to_integer.py:9:13: TD0206: 0.5 is no integer, but is to become int32
#                 B[i] = 0.5
#                 ^^^^
#   hint: write a whole number, or convert explicitly: T.cast(0.5, ...)
