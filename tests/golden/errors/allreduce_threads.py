"""Threads are combined along dimensions of the block."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32")):
    with T.Kernel(1, threads=(32, 4)):
        x = T.get_thread_binding(0)
        T.print(T.thread_allreduce(A[0, 0], x + 1))


# ruff: noqa
# expect:
# allreduce_threads.py:9:17: TD0226: threads of T.thread_allreduce cannot be x + 1 (index)
#             T.print(T.thread_allreduce(A[0, 0], x + 1))
#                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: what T.get_thread_binding gives
