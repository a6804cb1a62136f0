"""Of a fragment nobody knows which thread has the neighbour."""

import tiledsl.language as T


def kernel(A: T.Tensor((16,), "float16")):
    with T.Kernel(1, threads=32):
        F = T.alloc_fragment((16,), "float16")
        for i in T.Parallel(8):
            A[2 * i : 2 * i + 2] = T.abs2(F[2 * i : 2 * i + 2])


# ruff: noqa
# expect:
# pair_of_fragment.py:10:36: TD0219: operand x of T.abs2, 'F', lies in fragment memory
#                 A[2 * i : 2 * i + 2] = T.abs2(F[2 * i : 2 * i + 2])
#                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: it must come from a parameter, T.alloc_shared or T.alloc_local
