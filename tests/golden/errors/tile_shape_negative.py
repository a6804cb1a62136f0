"""The sizes of a tile are positive."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        T.alloc_fragment((128, -64), "float16")


# ruff: noqa
# expect:
# tile_shape_negative.py:8:9: TD0221: T.alloc_fragment needs positive integers as sizes, not -64
#             T.alloc_fragment((128, -64), "float16")
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: write the shape as a tuple of ints
