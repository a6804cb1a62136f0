"""A number is no tile."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        T.copy(0, S)
