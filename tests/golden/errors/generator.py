"""A kernel is a plain function."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        yield A


# ruff: noqa
# expect:
# generator.py:6: TD0123: 'kernel' is not a plain function
#     def kernel(A: T.Tensor((128, 64), "float16")):
#     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: kernels and macros are functions without yield, async or await
