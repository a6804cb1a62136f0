"""A small tile for many warps."""

import tiledsl.language as T


def kernel(C: T.Tensor((16, 16), "float32")):
    with T.Kernel(1, threads=256):
        a = T.alloc_shared((16, 32), "float16")
        b = T.alloc_shared((32, 16), "float16")
        c = T.alloc_fragment((16, 16), "float32")
        T.gemm(a, b, c)
        T.copy(c, C)


# ruff: noqa
# expect:
# no_warp_partition.py:11:9: TD0310: no legal warp partition: a 16 x 16 tile cannot be cut among 8 warps into multiples of 16 x 8
#             T.gemm(a, b, c)
#             ^^^^^^^^^^^^^^^
#   hint: 32, 64 threads would work for this tile
