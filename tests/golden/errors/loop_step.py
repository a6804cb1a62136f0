"""A loop needs a step."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        for i in range(0, 64, n):
            A[0, i] = 0


# ruff: noqa
# expect:
# loop_step.py:8:18: TD0225: range has the step n (int32)
#             for i in range(0, 64, n):
#                      ^^^^^^^^^^^^^^^
#   hint: the step is a Python int other than 0
