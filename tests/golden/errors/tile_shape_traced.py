"""The shape of a tile is a constant."""

import tiledsl.language as T


def kernel():
    with T.Kernel(4) as b:
        T.alloc_shared((b * 16, 64), "float16")


# ruff: noqa
# expect:
# tile_shape_traced.py:8:9: TD0220: T.alloc_shared needs a constant size, not b * 16 (index)
#             T.alloc_shared((b * 16, 64), "float16")
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: use a Python int, a compile-time parameter, or a size of T.const
