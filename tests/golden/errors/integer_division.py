"""Two meanings of a division of integers."""

import tiledsl.language as T


def kernel(B: T.Tensor((128,), "int32")):
    with T.Kernel(4) as b:
        for i in T.Parallel(32):
            B[b * 32 + i / 2] = 0
