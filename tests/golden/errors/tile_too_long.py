"""A tile that is longer than the tensor it is copied to."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        R = T.alloc_fragment((32, 64), "float16")
        T.copy(S, R[0, 0])


# ruff: noqa
# expect:
# tile_too_long.py:10:9: TD0247: T.copy takes 128 elements along dimension 0 of 'R', which is (32, 64)
#             T.copy(S, R[0, 0])
#             ^^^^^^^^^^^^^^^^^^
#   hint: take at most as many as there are; only tensors in global memory may be exceeded, where tiles are cut off
