"""A run-time condition cannot end tracing."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        if n > 3:
            return
        A[0, 0] = 0
