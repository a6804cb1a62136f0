"""A copy asks for accesses that its rows cannot be cut into."""

import tiledsl.language as T


def kernel(A: T.Tensor((64, 36), "float16")):
    with T.Kernel(1, threads=128):
        s = T.alloc_shared((64, 36), "float16")
        T.copy(A, s, coalesced_width=8)


# ruff: noqa
# expect:
# copy_width.py:9:9: TD0309: width 8 does not fit the loop: the last extent is 36, elements have 16 bits
#             T.copy(A, s, coalesced_width=8)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: choose a width that divides the last extent, at most 16 bytes
