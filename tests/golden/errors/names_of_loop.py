"""As many names as extents of the loop."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i, j in T.Parallel(64):
            A[i, j] = 0
