"""A block has at most 1024 threads."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1, threads=(64, 32)):
        A[0, 0] = 0
