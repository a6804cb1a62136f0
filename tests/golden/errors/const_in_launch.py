"""Sizes are bound before the launch."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        M = T.const("M")
        A[0, 0] = M


# ruff: noqa
# expect:
# const_in_launch.py:8:13: TD0143: T.const must stand before the T.Kernel block
#             M = T.const("M")
#                 ^^^^^^^^^^^^
#   hint: move it to the beginning of the kernel function
