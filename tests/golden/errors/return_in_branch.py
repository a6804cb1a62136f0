"""A run-time condition cannot end tracing."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        if n > 3:
            return
        A[0, 0] = 0


# ruff: noqa
# expect:
# return_in_branch.py:9:13: TD0114: 'return' stands in the 'if', which is decided when the kernel runs
#                 return
#                 ^^^^^^
#   hint: return once, at the end of the function; keep the value in a T.alloc_var
