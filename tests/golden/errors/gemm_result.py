"""The accumulator has the wrong shape."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_shared((128, 32), "float16")
        Y = T.alloc_shared((32, 64), "float16")
        C = T.alloc_fragment((64, 128), "float32")
        T.gemm(X, Y, C)


# ruff: noqa
# expect:
# gemm_result.py:11:9: TD0217: T.gemm of 'X' (128, 32) and 'Y' (32, 64) gives (128, 64), but C is 'C' (64, 128)
#             T.gemm(X, Y, C)
#             ^^^^^^^^^^^^^^^
#   hint: allocate C with T.alloc_fragment((128, 64), ...)
