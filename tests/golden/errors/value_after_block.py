"""A value kept in a list does not outlive its block."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    kept = []
    with T.Kernel(1):
        for i in range(64):
            kept.append(A[0, i] + 1)
        A[1, 0] = kept[0]


# ruff: noqa
# expect:
# value_after_block.py:11:9: TD0112: A[0, i] + 1.0 belongs to the loop over 'i', which has ended
#             A[1, 0] = kept[0]
#             ^^^^^^^
#   note: it was computed in here (value_after_block.py:9:18)
#             for i in range(64):
#                      ^^^^^^^^^
#   hint: compute it again here, or keep it in a T.alloc_var or a tensor declared outside
