"""A policy that does not exist."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_shared((64, 64), "float16")
        C = T.alloc_fragment((64, 64), "float32")
        T.gemm(X, X, C, policy="diagonal")


# ruff: noqa
# expect:
# gemm_policy.py:10:9: TD0226: policy of T.gemm cannot be 'diagonal' (str)
#             T.gemm(X, X, C, policy="diagonal")
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: T.GemmWarpPolicy.Square, FullRow or FullCol
