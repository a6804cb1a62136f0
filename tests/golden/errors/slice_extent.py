"""The extent of a slice is a constant."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(4) as b:
        S = T.alloc_shared((64, 64), "float16")
        T.copy(A[0 : b * 32, :], S)


# ruff: noqa
# expect:
# slice_extent.py:9:16: TD0211: dimension 0 of the slice of 'A' is b * 32 long, which is no constant
#             T.copy(A[0 : b * 32, :], S)
#                    ^^^^^^^^^^^^^^^^
#   hint: write the slice as start : start + SIZE with a constant SIZE
