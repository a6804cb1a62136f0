"""A direction that there is not."""

import tiledsl.language as T


def kernel(A: T.Tensor((16,), "float32")):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(16):
            A[i] = T.ieee_fdiv(A[i], 3, rounding_mode="rna")


# ruff: noqa
# expect:
# directed_mode.py:9:20: TD0226: rounding_mode of T.ieee_fdiv cannot be 'rna' (str)
#                 A[i] = T.ieee_fdiv(A[i], 3, rounding_mode="rna")
#                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: rn, rz, ru, rd
