"""Parallel loops cannot be nested."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(128):
            for j in T.Parallel(64):
                A[i, j] = 0


# ruff: noqa
# expect:
# nested_parallel.py:9:22: TD0130: T.Parallel loops cannot be nested
#                 for j in T.Parallel(64):
#                          ^^^^^^^^^^^^^^
#   hint: give one loop several extents: for i, j in T.Parallel(m, n), or make the inner one T.serial
