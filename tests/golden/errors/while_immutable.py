"""The condition cannot change."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        i = 0
        while i < n:
            A[0, i] = 0
            i += 1
