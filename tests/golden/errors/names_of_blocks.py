"""As many names as dimensions of the grid."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(4, 4) as (bx, by, bz):
        A[bx, by] = bz
