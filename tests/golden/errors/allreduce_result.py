"""The result of a reduction over threads in TVM's spelling is private to each thread."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32")):
    with T.Kernel(1, threads=(32, 4)):
        x = T.get_thread_binding(0)
        T.tvm_thread_allreduce(1, A[0, 0], True, A[0, 0], x)


# ruff: noqa
# expect:
# allreduce_result.py:9:9: TD0226: result of T.tvm_thread_allreduce cannot be 'A' (1, 1)
#             T.tvm_thread_allreduce(1, A[0, 0], True, A[0, 0], x)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: an element of a T.alloc_local
