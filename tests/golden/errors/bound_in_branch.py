"""A name bound under a run-time condition is used after it."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        scale = 1.0
        if n > 3:
            scale = 2.0
        A[0, 0] = scale
