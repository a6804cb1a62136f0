"""A condition on Python values that does not change."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    i = 0
    with T.Kernel(1):
        while i < 4:
            A[0, 0] = 0


# ruff: noqa
# expect:
# while_endless.py:9:15: TD0118: this 'while' runs at trace time and has not ended after 10000 rounds
#             while i < 4:
#                   ^^^^^
#   hint: let its condition depend on a T.alloc_var; leave loops with break inside 'for ... in range(...)'
