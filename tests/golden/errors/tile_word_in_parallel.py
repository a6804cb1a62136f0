"""A tile word in the work of one element."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        for i in T.Parallel(128):
            T.copy(A[i, 0], S[i, :])


# ruff: noqa
# expect:
# tile_word_in_parallel.py:10:13: TD0129: T.copy works on whole tiles, and stands in a T.Parallel loop, whose body is the work of one element
#                 T.copy(A[i, 0], S[i, :])
#                 ^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: move it out of the loop, or write the element: C[i, j] = ...
