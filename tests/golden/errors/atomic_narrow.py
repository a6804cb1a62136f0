"""What the hardware cannot compare and swap."""

import tiledsl.language as T


def kernel(A: T.Tensor((128,), "int8")):
    with T.Kernel(1):
        for i in T.Parallel(128):
            T.atomic_max(A[i], 1)


# ruff: noqa
# expect:
# atomic_narrow.py:9:13: TD0248: T.atomic_max needs elements of 16, 32 or 64 bits, but 'A' has int8
#                 T.atomic_max(A[i], 1)
#                 ^^^^^^^^^^^^^^^^^^^^^
#   hint: keep the elements that are updated in a wider dtype, and convert them afterwards
