"""As many names as dimensions of the grid."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(4, 4) as (bx, by, bz):
        A[bx, by] = bz


# ruff: noqa
# expect:
# names_of_blocks.py:7:5: TD0131: 3 names are given for a grid of 2 dimensions, but it binds 2
#         with T.Kernel(4, 4) as (bx, by, bz):
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: write as many names as there are dimensions
