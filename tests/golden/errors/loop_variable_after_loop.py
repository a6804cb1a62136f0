"""The variable of a loop does not outlive it."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in range(64):
            A[0, i] = 0
        A[1, i] = 0


# ruff: noqa
# expect:
# loop_variable_after_loop.py:10:9: TD0110: 'i' was bound in the loop over 'i', and is used after it
#             A[1, i] = 0
#             ^^^^^^^
#   note: bound in this block (loop_variable_after_loop.py:8:18)
#             for i in range(64):
#                      ^^^^^^^^^
#   hint: declare it before as a mutable variable: i = T.alloc_var(dtype, init)
