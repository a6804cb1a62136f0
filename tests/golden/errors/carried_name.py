"""A name is used in a loop before the iteration binds it."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        total = 0.0
        for i in range(64):
            total = total + A[0, i]
        A[0, 0] = total


# ruff: noqa
# expect:
# carried_name.py:10:21: TD0111: 'total' is used in the loop over 'i' before that iteration binds it
#                 total = total + A[0, i]
#                         ^^^^^^^^^^^^^^^
#   note: bound in this block (carried_name.py:9:18)
#             for i in range(64):
#                      ^^^^^^^^^
#   hint: declare it before the loop as a mutable variable: total = T.alloc_var(dtype, init)
