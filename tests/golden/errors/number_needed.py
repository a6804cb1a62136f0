"""Text is no number."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        A[0, 0] = "zero"


# ruff: noqa
# expect:
# number_needed.py:8:9: TD0202: a number is needed, not 'zero' (str)
#             A[0, 0] = "zero"
#             ^^^^^^^
#   hint: use a Python number, an element A[i, j] of a tensor, or a traced scalar
