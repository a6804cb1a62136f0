"""A loop over a list is unrolled before the condition is known."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in [0, 1, 2]:
            if A[0, i] < 0:
                break


# ruff: noqa
# expect:
# break_at_trace_time.py:10:17: TD0109: 'break' depends on a run-time condition, but its loop runs at trace time
#                     break
#                     ^^^^^
#   hint: loop over range(...) or T.serial(...) to make a loop of the kernel
