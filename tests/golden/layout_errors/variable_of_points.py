"""A sum in a variable of threads depends on the points that each is dealt."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32"), B: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=32):
        n = T.alloc_var("float32", 0)
        for i in T.Parallel(64):
            n = n + A[i]
            B[i] = n


# ruff: noqa
# expect:
# variable_of_points.py:10:13: TD0330: 'n' has a value in one point of a T.Parallel loop alone, and is read in another point or after the loop
#                 n = n + A[i]
#                 ^^^^^^^^^^^^
#   note: stored here, in a point of a T.Parallel loop (variable_of_points.py:10:13)
#                 n = n + A[i]
#                 ^^^^^^^^^^^^
#   hint: give it a value in each point before it is read; for sums use T.reduce_* or T.alloc_reducer, or a serial loop
