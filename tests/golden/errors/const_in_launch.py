"""Sizes are bound before the launch."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        M = T.const("M")
        A[0, 0] = M
