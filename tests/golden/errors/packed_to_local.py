"""A copy takes numbers apart by all threads together."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 8), "uint4")):
    with T.Kernel(1):
        mine = T.alloc_local((8,), "uint8")
        T.copy(A[0, :], mine)


# ruff: noqa
# expect:
# packed_to_local.py:9:9: TD0219: operand dst of T.copy, 'mine', lies in local memory
#             T.copy(A[0, :], mine)
#             ^^^^^^^^^^^^^^^^^^^^^
#   hint: it must come from a parameter, T.alloc_shared or T.alloc_fragment
