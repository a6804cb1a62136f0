"""A slice cannot be assigned to."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        S = T.alloc_shared((64, 64), "float16")
        S[0, :] = 0
