"""A vector is no matrix."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_shared((128,), "float16")
        C = T.alloc_fragment((128, 128), "float32")
        T.gemm(X, X, C)


# ruff: noqa
# expect:
# gemm_rank.py:10:9: TD0215: operand A of T.gemm is no matrix: 'X' (128,)
#             T.gemm(X, X, C)
#             ^^^^^^^^^^^^^^^
#   hint: the last two dimensions are the matrix; those before them must have extent 1
