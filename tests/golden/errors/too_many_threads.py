"""A block has at most 1024 threads."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1, threads=(64, 32)):
        A[0, 0] = 0


# ruff: noqa
# expect:
# too_many_threads.py:7:10: TD0224: T.Kernel cannot launch threads=(64, 32)
#         with T.Kernel(1, threads=(64, 32)):
#              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: a launch has 1 to 1024 threads in up to 3 dimensions
