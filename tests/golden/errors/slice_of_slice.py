"""A slice is not indexed again."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        A[0][3] = 0


# ruff: noqa
# expect:
# slice_of_slice.py:8:9: TD0233: a slice of 'A' is indexed again
#             A[0][3] = 0
#             ^^^^^^^
#   hint: give all indices at once: A[i, a:b]
