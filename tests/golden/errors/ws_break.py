"""A role cannot leave a loop of all threads."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=256):
        for i in range(8):
            with T.ws(0):
                if A[i] > 0:
                    break


# ruff: noqa
# expect:
# ws_break.py:11:21: TD0108: 'break' stands in a T.ws block, but its loop is one of all threads
#                         break
#                         ^^^^^
#   hint: break and continue work in range, T.serial, T.unroll, T.Pipelined and while loops
