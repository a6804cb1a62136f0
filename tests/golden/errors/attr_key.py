"""The one attribute is how threads are combined."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32")):
    with T.Kernel(1):
        with T.attr(0, "pragma_unroll", 1):
            A[0, 0] = 0


# ruff: noqa
# expect:
# attr_key.py:8:9: TD0103: T.attr(..., 'pragma_unroll') is not supported yet
#             with T.attr(0, "pragma_unroll", 1):
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: the one attribute is 'reduce_scope' of a T.comm_reducer
