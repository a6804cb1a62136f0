"""The notes show the way into a macro."""

import tiledsl.language as T


@T.macro
def load(source, tile):
    T.copy(source, tile)


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 32), "float16")
        load(A, S)
