"""An option that is planned is named."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        S = T.alloc_shared((64, 64), "float16")
        C = T.alloc_fragment((64, 64), "float32")
        T.gemm(S, S, C, mbar=0)


# ruff: noqa
# expect:
# unsupported_option.py:10:9: TD0103: T.gemm(..., mbar=) is not supported yet
#             T.gemm(S, S, C, mbar=0)
#             ^^^^^^^^^^^^^^^^^^^^^^^
#   hint: leave the option away
