"""The accumulator lies in shared memory."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_shared((64, 64), "float16")
        C = T.alloc_shared((64, 64), "float32")
        T.gemm(X, X, C)


# ruff: noqa
# expect:
# gemm_memory.py:10:9: TD0219: operand C of T.gemm, 'C', lies in shared memory
#             T.gemm(X, X, C)
#             ^^^^^^^^^^^^^^^
#   hint: it must come from T.alloc_fragment
