"""A fraction is no integer."""

import tiledsl.language as T


def kernel(B: T.Tensor((64,), "int32")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            B[i] = 0.5
