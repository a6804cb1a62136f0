"""Tensor cores need whole warps."""

import tiledsl.language as T


def kernel(C: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=48):
        a = T.alloc_shared((64, 64), "float16")
        c = T.alloc_fragment((64, 64), "float32")
        T.gemm(a, a, c)
        T.copy(c, C)


# ruff: noqa
# expect:
# half_a_warp.py:10:9: TD0315: T.gemm needs whole warps, but the block has 48 threads
#             T.gemm(a, a, c)
#             ^^^^^^^^^^^^^^^
#   hint: choose a multiple of 32 threads
