"""Warps multiply pieces of 16 rows."""

import tiledsl.language as T


def kernel(A: T.Tensor((16, 16), "float16")):
    with T.Kernel(1, threads=32):
        T.TensorCoreIntrinEmitter("float16", "float16", "float32", warp_row_tiles=24, chunk=32)


# ruff: noqa
# expect:
# emitter_rows.py:8:9: TD0271: warp_row_tiles=24 is no positive multiple of 16
#             T.TensorCoreIntrinEmitter("float16", "float16", "float32", warp_row_tiles=24, chunk=32)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: an instruction m16n8k16 of float16 takes 16 at a time
