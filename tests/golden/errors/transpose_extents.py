"""The extents of a transpose are swapped."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        R = T.alloc_shared((128, 64), "float16")
        T.transpose(S, R)
