"""A thread could store none of its own numbers."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "int8")):
    with T.Kernel(1):
        mine = T.alloc_local((8,), "uint4")


# ruff: noqa
# expect:
# packed_local.py:8:16: TD0289: 'mine' holds two numbers of uint4 in each byte, so that a thread could store none of its own
#             mine = T.alloc_local((8,), "uint4")
#                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allocate uint8, which the numbers are read as
