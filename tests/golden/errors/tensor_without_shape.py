"""A tensor needs a shape."""

import tiledsl.language as T


def kernel(A: T.Tensor):
    with T.Kernel(1):
        A[0] = 0
