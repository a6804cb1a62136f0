"""A tile of run-time size."""

import tiledsl.language as T


def kernel(B: T.Tensor((T.dynamic("m"), 64), "float16")):
    with T.Kernel(1):
        T.clear(B)


# ruff: noqa
# expect:
# fill_dynamic.py:8:9: TD0234: T.clear needs constant extents, but dimension 0 of 'B' (m, 64) is a run-time size
#             T.clear(B)
#             ^^^^^^^^^^
#   hint: slice it: start : start + SIZE with a constant SIZE
