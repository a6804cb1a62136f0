"""Nor does when the next one may begin."""

import tiledsl.language as T


def kernel(A: T.Tensor((128,), "float32")):
    with T.Kernel(4) as bx:
        if bx == 0:
            T.pdl_trigger()


# ruff: noqa
# expect:
# pdl_in_branch.py:9:13: TD0259: T.pdl_trigger stands in a loop, a condition or a part of the block
#                 T.pdl_trigger()
#                 ^^^^^^^^^^^^^^^
#   hint: write it in the T.Kernel block itself, once for all blocks and threads
