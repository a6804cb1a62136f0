"""The threads of a block are divided once."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=256):
        with T.ws(0, 1):
            with T.ws(0):
                A[0] = 1


# ruff: noqa
# expect:
# ws_in_ws.py:9:13: TD0252: a T.ws block stands in another T.ws block
#                 with T.ws(0):
#                 ^^^^^^^^^^^^^
#   hint: write T.ws blocks beside each other, in the T.Kernel block or in its serial loops
