"""The block has one warpgroup."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=128):
        with T.ws(1):
            A[0] = 1


# ruff: noqa
# expect:
# ws_beyond_the_block.py:8:14: TD0251: T.ws cannot run on the warpgroups 1
#             with T.ws(1):
#                  ^^^^^^^
#   hint: launch T.Kernel(..., threads=256); it has 128 threads
