"""The shape of a tile is a constant."""

import tiledsl.language as T


def kernel():
    with T.Kernel(4) as b:
        T.alloc_shared((b * 16, 64), "float16")
