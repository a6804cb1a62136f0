"""Launches cannot be nested."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(4):
        with T.Kernel(2):
            A[0, 0] = 0
