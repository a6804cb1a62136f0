"""A view has as many bits as its tensor."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        T.copy(A, S)
        T.reshape(S, (64, 64))


# ruff: noqa
# expect:
# view_size.py:10:9: TD0237: T.reshape cannot turn 'S', (128, 64) of float16, into (64, 64) of float16
#             T.reshape(S, (64, 64))
#             ^^^^^^^^^^^^^^^^^^^^^^
#   hint: both must have the same number of bits, and the tensor must be contiguous
