"""A slice cannot be assigned to."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        S = T.alloc_shared((64, 64), "float16")
        S[0, :] = 0


# ruff: noqa
# expect:
# slice_assigned.py:9:9: TD0230: a part of 'S' cannot be assigned to
#             S[0, :] = 0
#             ^^^^^^^
#   hint: use T.copy or T.fill on the part, or assign elements in a T.Parallel loop
