"""Threads of a role are combined by tile words."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32")):
    with T.Kernel(1, threads=256):
        with T.ws(0):
            x = T.get_thread_binding(0)
            T.print(T.thread_allreduce(A[0, 0], x))


# ruff: noqa
# expect:
# allreduce_in_role.py:10:21: TD0103: T.thread_allreduce in a T.ws block is not supported yet
#                 T.print(T.thread_allreduce(A[0, 0], x))
#                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: reduce a fragment: T.reduce_sum
