"""The size of the grid is known to the host."""

import tiledsl.language as T


def kernel(B: T.Tensor((64,), "int32")):
    with T.Kernel(B[0]):
        B[1] = 0


# ruff: noqa
# expect:
# grid_in_memory.py:7:10: TD0224: T.Kernel cannot launch B[0] blocks, a number in the GPU's memory
#         with T.Kernel(B[0]):
#              ^^^^^^^^^^^^^^
#   hint: a launch has sizes that the host knows: numbers, sizes of tensors, and scalar parameters
