"""A tensor has elements: an empty one, whose size is known at compile time, leaves nothing to compute."""

import tiledsl.language as T


def kernel(A):
    M, N = T.const("M, N")
    A: T.Tensor((M, N), "float16")
    with T.Kernel(1):
        T.clear(A[0:1, 0:1])


TENSORS = {"A": ((16, 0), "float16")}


# ruff: noqa
# expect:
# tensor_without_elements.py:8:8: TD0221: T.Tensor needs positive integers as sizes, not 0
#         A: T.Tensor((M, N), "float16")
#            ^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: write the shape as a tuple of ints
