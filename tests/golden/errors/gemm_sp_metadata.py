"""Metadata of a sparse operand has a word of 16 bits for 16 columns."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        A = T.alloc_shared((64, 32), "float16")
        E = T.alloc_shared((64, 8), "uint8")
        B = T.alloc_shared((64, 64), "float16")
        C = T.alloc_fragment((64, 64), "float32")
        T.gemm_sp(A, E, B, C)


# ruff: noqa


# ruff: noqa
# expect:
# gemm_sp_metadata.py:12:9: TD0275: T.gemm_sp of 'A' (64, 32) cannot use 'E' (64, 8) of uint8: it multiplies A_sparse (M, K / 2), E (M, K / 16) of uint16, B (K, N), C (M, N)
#             T.gemm_sp(A, E, B, C)
#             ^^^^^^^^^^^^^^^^^^^^^
#   hint: give A_sparse and E as tiledsl.sparse.compress makes them: half and a sixteenth of the columns of A
