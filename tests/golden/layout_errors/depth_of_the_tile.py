"""The tile is too shallow for the instruction."""

import tiledsl.language as T


def kernel(C: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        a = T.alloc_shared((64, 24), "float16")
        b = T.alloc_shared((24, 64), "float16")
        c = T.alloc_fragment((64, 64), "float32")
        T.gemm(a, b, c)
        T.copy(c, C)


# ruff: noqa
# expect:
# depth_of_the_tile.py:11:9: TD0313: the tile is 24 deep, but mma_m16n8k16_f32_f16 works in steps of 16
#             T.gemm(a, b, c)
#             ^^^^^^^^^^^^^^^
#   hint: choose a depth that is a multiple of 16
