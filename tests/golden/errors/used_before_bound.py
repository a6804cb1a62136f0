"""A name that only the branch binds."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        if n > 3:
            A[0, 0] = scale
            scale = 2.0


# ruff: noqa
# expect:
# used_before_bound.py:9:13: TD0133: 'scale' is used before it is bound
#                 A[0, 0] = scale
#                 ^^^^^^^
#   hint: bind it before this block
