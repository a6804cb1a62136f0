"""A Python list cannot be indexed with a traced value."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    scales = [1.0, 2.0, 4.0, 8.0]
    with T.Kernel(1):
        for i in range(4):
            A[0, i] = A[0, i] * scales[i]


# ruff: noqa
# expect:
# list_index.py:10:33: TD0107: i is known only when the kernel runs, so it cannot be an index of a Python sequence or a bound of a Python range
#                 A[0, i] = A[0, i] * scales[i]
#                                     ^^^^^^^^^
#   hint: use a Python number or a compile-time parameter; a 'for' over a list or tuple runs at trace time
