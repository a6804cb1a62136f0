"""Sizes have names."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        A[0, 0] = T.dynamic(128)


# ruff: noqa
# expect:
# dynamic_name.py:8:19: TD0142: T.dynamic takes names of sizes, not 128 (int)
#             A[0, 0] = T.dynamic(128)
#                       ^^^^^^^^^^^^^^
#   hint: write T.dynamic("m, n")
