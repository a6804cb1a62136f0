"""The condition cannot change."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        i = 0
        while i < n:
            A[0, i] = 0
            i += 1


# ruff: noqa
# expect:
# while_immutable.py:9:15: TD0119: the condition of 'while' reads 'i', an immutable value that the body binds anew
#             while i < n:
#                   ^^^^^
#   hint: declare it before the loop as a mutable variable: i = T.alloc_var(dtype, init)
