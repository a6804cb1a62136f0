"""As many names as extents of the loop."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i, j in T.Parallel(64):
            A[i, j] = 0


# ruff: noqa
# expect:
# names_of_loop.py:8:21: TD0131: 2 names are given for this T.Parallel, but it binds 1
#             for i, j in T.Parallel(64):
#                         ^^^^^^^^^^^^^^
#   hint: write as many names as there are dimensions
