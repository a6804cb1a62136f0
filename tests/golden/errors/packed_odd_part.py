"""Parts that are copied begin and end with bytes."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "int4"), B: T.Tensor((128, 64), "int8")):
    with T.Kernel(4) as bx:
        S = T.alloc_shared((128, 32), "int4")
        T.copy(A[:, bx : bx + 32], S)
        T.copy(S, B[:, 0:32])


# ruff: noqa
# expect:
# packed_odd_part.py:9:9: TD0289: 'A' holds two numbers of int4 in each byte, but rows of 32 numbers from bx on may begin or end within one
#             T.copy(A[:, bx : bx + 32], S)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: take parts of rows that begin and end at even places
