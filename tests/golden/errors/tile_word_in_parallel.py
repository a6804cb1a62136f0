"""A tile word in the work of one element."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        for i in T.Parallel(128):
            T.copy(A[i, 0], S[i, :])
