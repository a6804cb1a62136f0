"""Tiles belong to a block."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    S = T.alloc_shared((128, 64), "float16")
    with T.Kernel(1):
        T.copy(A, S)


# ruff: noqa
# expect:
# alloc_outside_launch.py:7:9: TD0105: T.alloc_shared needs an open T.Kernel block
#         S = T.alloc_shared((128, 64), "float16")
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: put it under 'with T.Kernel(...) as ...:'
