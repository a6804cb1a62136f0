"""A kernel returns what it made."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        A[0, 0] = 0
    return A


# ruff: noqa
# expect:
# returned_parameter.py:6: TD0128: a kernel returns what T.empty made, not 'A'
#     def kernel(A: T.Tensor((128, 64), "float16")):
#     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: make the output with C = T.empty(shape, dtype) and return C, or return nothing
