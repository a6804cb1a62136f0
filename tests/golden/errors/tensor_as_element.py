"""A tensor is no element."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_fragment((128, 64), "float16")
        A[0, 0] = S


# ruff: noqa
# expect:
# tensor_as_element.py:9:9: TD0231: an element of 'A' cannot hold 'S', which is a tensor
#             A[0, 0] = S
#             ^^^^^^^
#   hint: use T.copy, or name the element: [i, j]
