"""The extents of a transpose are swapped."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        R = T.alloc_shared((128, 64), "float16")
        T.transpose(S, R)


# ruff: noqa
# expect:
# transpose_extents.py:10:9: TD0238: T.transpose of 'S' (128, 64) has the extents (64, 128), but dst is 'R' (128, 64)
#             T.transpose(S, R)
#             ^^^^^^^^^^^^^^^^^
#   hint: allocate dst with (64, 128)
