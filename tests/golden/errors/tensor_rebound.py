"""An element was meant, not the whole tensor."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        A = A[0, 0] + 1


# ruff: noqa
# expect:
# tensor_rebound.py:8:9: TD0113: 'A' is a tensor, and 'A = ...' would bind the name to the number A[0, 0] + 1.0 (float16)
#             A = A[0, 0] + 1
#             ^^^^^^^^^^^^^^^
#   hint: write A[...] = ... for an element, or T.fill(A, ...) for all
