"""Whether a launch waits for the one before it depends on nothing."""

import tiledsl.language as T


def kernel(A: T.Tensor((128,), "float32")):
    with T.Kernel(4) as bx:
        for k in range(4):
            T.pdl_sync()
        for i in T.Parallel(128):
            A[i] = bx


# ruff: noqa
# expect:
# pdl_in_loop.py:9:13: TD0259: T.pdl_sync stands in a loop, a condition or a part of the block
#                 T.pdl_sync()
#                 ^^^^^^^^^^^^
#   hint: write it in the T.Kernel block itself, once for all blocks and threads
