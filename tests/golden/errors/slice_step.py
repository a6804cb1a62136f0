"""Slices are contiguous."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((64, 64), "float16")
        T.copy(A[0:128:2, :], S)


# ruff: noqa
# expect:
# slice_step.py:9:16: TD0210: a slice of 'A' has the step 2 (int)
#             T.copy(A[0:128:2, :], S)
#                    ^^^^^^^^^^^^^
#   hint: slices are contiguous: loop with T.Parallel for other steps
