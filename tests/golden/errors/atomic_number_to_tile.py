"""A number is added to one element."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        T.atomic_add(A[0, :], 1)


# ruff: noqa
# expect:
# atomic_number_to_tile.py:8:9: TD0243: T.atomic_add of a number needs one element, but dst is 'A' (1, 64)
#             T.atomic_add(A[0, :], 1)
#             ^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: index all dimensions, or pass a tile as the value
