"""A kernel launches something."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    T.ceildiv(128, 4)
