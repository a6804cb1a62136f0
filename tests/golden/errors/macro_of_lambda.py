"""A macro is made from a function."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        T.macro(A)


# ruff: noqa
# expect:
# macro_of_lambda.py:8:9: TD0145: a macro is made from a function, not from 'A'
#             T.macro(A)
#             ^^^^^^^^^^
#   hint: write @T.macro above a def
