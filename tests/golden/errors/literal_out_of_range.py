"""A literal adopts the dtype of what it meets."""

import tiledsl.language as T


def kernel(B: T.Tensor((64,), "uint8")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            B[i] = B[i] & 256
