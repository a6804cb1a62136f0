"""The points of a parallel loop have no order."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            if A[0, i] < 0:
                break
            A[0, i] = 0


# ruff: noqa
# expect:
# break_in_parallel.py:10:17: TD0108: 'break' stands in a T.Parallel loop, whose points have no order
#                     break
#                     ^^^^^
#   hint: break and continue work in range, T.serial, T.unroll, T.Pipelined and while loops
