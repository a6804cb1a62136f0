"""A value of one role is none of another."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=256):
        with T.ws(0):
            x = A[0] + 1
        with T.ws(1):
            A[1] = x


# ruff: noqa
# expect:
# ws_value_after_block.py:11:13: TD0112: x belongs to the T.ws block, which has ended
#                 A[1] = x
#                 ^^^^
#   note: it was computed in here (ws_value_after_block.py:8:14)
#             with T.ws(0):
#                  ^^^^^^^
#   hint: compute it again here, or keep it in a T.alloc_var or a tensor declared outside
