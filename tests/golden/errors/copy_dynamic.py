"""A whole dimension of run-time size is no tile."""

import tiledsl.language as T


def kernel(B: T.Tensor((T.dynamic("m"), 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        T.copy(B[:, 0:64], S)


# ruff: noqa
# expect:
# copy_dynamic.py:9:9: TD0234: T.copy needs constant extents, but dimension 0 of 'B' (m, 64) is a run-time size
#             T.copy(B[:, 0:64], S)
#             ^^^^^^^^^^^^^^^^^^^^^
#   hint: slice it: start : start + SIZE with a constant SIZE
