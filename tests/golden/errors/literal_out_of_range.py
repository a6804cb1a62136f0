"""A literal adopts the dtype of what it meets."""

import tiledsl.language as T


def kernel(B: T.Tensor((64,), "uint8")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            B[i] = B[i] & 256


# ruff: noqa
# expect:
# literal_out_of_range.py:9:20: TD0205: 256 is out of the range of uint8, 0 to 255
#                 B[i] = B[i] & 256
#                        ^^^^^^^^^^
#   hint: convert the other side to a wider dtype
