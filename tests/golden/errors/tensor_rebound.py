"""An element was meant, not the whole tensor."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        A = A[0, 0] + 1
