"""Accesses of a width are those of global memory."""

import tiledsl.language as T


def kernel(
    A: T.Tensor((4, 16), "float16"),
    B: T.Tensor((4, 16), "uint32"),
    C: T.Tensor((4, 6), "float16"),
    D: T.Tensor((8,), "float64"),
):
    with T.Kernel(1, threads=32):
        S = T.alloc_shared((16,), "float16")
        B[0, 0] = T.ldg32(S[0])


# ruff: noqa
# expect:
# width_of_shared.py:14:19: TD0219: operand src of T.ldg32, 'S', lies in shared memory
#             B[0, 0] = T.ldg32(S[0])
#                       ^^^^^^^^^^^^^
#   hint: it must come from a parameter or T.alloc_global
