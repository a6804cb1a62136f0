"""Reinterpretation keeps the size."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            A[0, i] = T.reinterpret("float32", A[0, i])


# ruff: noqa
# expect:
# reinterpret_size.py:9:23: TD0246: A[0, i] (float16) has 16 bits, but float32 has 32
#                 A[0, i] = T.reinterpret("float32", A[0, i])
#                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: T.reinterpret keeps the bits, so the sizes must be equal; T.cast converts the value
