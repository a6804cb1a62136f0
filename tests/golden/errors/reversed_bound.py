"""An integer too large for its dtype."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        v = T.alloc_var("int8", 200)
        A[0, v] = 0


# ruff: noqa
# expect:
# reversed_bound.py:8:13: TD0205: 200 is out of the range of int8, -128 to 127
#             v = T.alloc_var("int8", 200)
#                 ^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: convert the other side to a wider dtype
