"""The methods of a class are macros; a function alone is a T.macro."""

import tiledsl.language as T


def kernel(A: T.Tensor((4,), "int32")):
    with T.Kernel(1):
        step = T.meta_class(len)
        A[0] = step()


# ruff: noqa
# expect:
# meta_class_of_function.py:8:16: TD0226: cls of T.meta_class cannot be <built-in function len> (builtin_function_or_method)
#             step = T.meta_class(len)
#                    ^^^^^^^^^^^^^^^^^
#   hint: allowed: a class
