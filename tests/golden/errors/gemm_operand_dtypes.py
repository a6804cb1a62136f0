"""The operands have different dtypes."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_shared((64, 64), "float16")
        Y = T.alloc_shared((64, 64), "bfloat16")
        C = T.alloc_fragment((64, 64), "float32")
        T.gemm(X, Y, C)


# ruff: noqa
# expect:
# gemm_operand_dtypes.py:11:9: TD0218: T.gemm cannot combine these dtypes: 'X' is float16 and 'Y' is bfloat16
#             T.gemm(X, Y, C)
#             ^^^^^^^^^^^^^^^
#   hint: A and B have the same dtype
