"""No product takes packed numbers."""

import tiledsl.language as T


def kernel(A: T.Tensor((64, 64), "int4"), B: T.Tensor((64, 64), "int32")):
    with T.Kernel(1):
        S = T.alloc_shared((64, 64), "int4")
        out = T.alloc_fragment((64, 64), "int32")
        T.copy(A, S)
        T.gemm(S, S, out)


# ruff: noqa
# expect:
# packed_gemm.py:11:9: TD0290: T.gemm takes no packed numbers, and 'S' is a tensor of int4
#             T.gemm(S, S, out)
#             ^^^^^^^^^^^^^^^^^
#   hint: T.copy it to a tile of int8, or of another dtype, and use that
