"""The inner extents differ."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_shared((128, 32), "float16")
        Y = T.alloc_shared((128, 64), "float16")
        C = T.alloc_fragment((128, 128), "float32")
        T.gemm(X, Y, C, transpose_B=True)


# ruff: noqa
# expect:
# gemm_inner.py:11:9: TD0216: T.gemm needs equal inner extents, but 'X' (128, 32) has K = 32 and 'Y' (128, 64) with transpose_B has K = 64
#             T.gemm(X, Y, C, transpose_B=True)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: check the tile shapes, or set transpose_A or transpose_B
