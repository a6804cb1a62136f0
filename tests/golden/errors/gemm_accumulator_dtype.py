"""bfloat16 does not accumulate in bfloat16."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_shared((64, 64), "bfloat16")
        C = T.alloc_fragment((64, 64), "bfloat16")
        T.gemm(X, X, C)


# ruff: noqa
# expect:
# gemm_accumulator_dtype.py:10:9: TD0218: T.gemm cannot combine these dtypes: 'X' is bfloat16 and 'C' is bfloat16
#             T.gemm(X, X, C)
#             ^^^^^^^^^^^^^^^
#   hint: bfloat16 operands accumulate in float32
