"""Directions of rounding are those of float32 and float64."""

import tiledsl.language as T


def kernel(A: T.Tensor((16,), "float16")):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(16):
            A[i] = T.ieee_add(A[i], A[i], "rz")


# ruff: noqa
# expect:
# directed_half.py:9:20: TD0226: the dtype of T.ieee_add cannot be float16
#                 A[i] = T.ieee_add(A[i], A[i], "rz")
#                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: float32 and float64: convert by T.cast
