"""A name bound under a run-time condition is used after it."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        scale = 1.0
        if n > 3:
            scale = 2.0
        A[0, 0] = scale


# ruff: noqa
# expect:
# bound_in_branch.py:11:9: TD0110: 'scale' was bound in the 'if', and is used after it
#             A[0, 0] = scale
#             ^^^^^^^
#   note: bound in this block (bound_in_branch.py:9:12)
#             if n > 3:
#                ^^^^^
#   hint: declare it before as a mutable variable: scale = T.alloc_var(dtype, init)
