"""Two meanings of a division of integers."""

import tiledsl.language as T


def kernel(B: T.Tensor((128,), "int32")):
    with T.Kernel(4) as b:
        for i in T.Parallel(32):
            B[b * 32 + i / 2] = 0


# ruff: noqa
# expect:
# integer_division.py:9:24: TD0204: '/' on the integers i (index) and 2 (int)
#                 B[b * 32 + i / 2] = 0
#                            ^^^^^
#   hint: use // (rounds down), T.truncdiv (rounds towards zero), or convert to float32 first
