"""Two elements of a tile would share an address."""

import tiledsl.language as T


def kernel(A: T.Tensor((64, 64), "float16")):
    with T.Kernel(1, threads=128):
        s = T.alloc_shared((64, 64), "float16")
        T.annotate_layout({s: T.Layout((64, 64), lambda i, j: i * 32 + j)})
        T.copy(A, s)


# ruff: noqa
# expect:
# layout_not_injective.py:9:31: TD0306: the layout of 'T.Layout' is not injective: elements (0, 32) and (1, 0) both have offset 32
#             T.annotate_layout({s: T.Layout((64, 64), lambda i, j: i * 32 + j)})
#                                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: give every element (and replica) a place of its own
