"""Order and stage have one entry for each statement."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        for k in T.Pipelined(4, order=[0, 1], stage=[0, 0, 1]):
            T.copy(A, S)


# ruff: noqa
# expect:
# pipeline_schedule.py:9:18: TD0227: T.Pipelined has 2 entries in order, but 3 in stage
#             for k in T.Pipelined(4, order=[0, 1], stage=[0, 0, 1]):
#                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: give one entry of each for every statement of the body
