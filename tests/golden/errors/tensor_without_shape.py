"""A tensor needs a shape."""

import tiledsl.language as T


def kernel(A: T.Tensor):
    with T.Kernel(1):
        A[0] = 0


# ruff: noqa
# expect:
# tensor_without_shape.py:6:12: TD0124: 'A' needs a shape and a dtype, not T.Tensor without a shape
#     def kernel(A: T.Tensor):
#                ^^^^^^^^^^^
#   hint: write T.Tensor((M, N), T.float16)
