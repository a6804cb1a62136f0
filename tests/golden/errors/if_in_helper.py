"""A plain helper function cannot branch on a traced value."""

import tiledsl.language as T


def relu(x):
    if x < 0:
        return 0
    return x


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            A[0, i] = relu(A[1, i])


# ruff: noqa
# expect:
# if_in_helper.py:7:8: TD0106: the truth of A[1, i] < 0.0 is known only when the kernel runs
#         if x < 0:
#            ^^^^^
#   note: called from here (if_in_helper.py:15:23)
#                 A[0, i] = relu(A[1, i])
#                           ^^^^^^^^^^^^^
#   hint: in a kernel or a @T.macro, 'if', 'while', 'and', 'or' and 'not' work on traced values; elsewhere use T.if_then_else, or decorate the helper with @T.macro
