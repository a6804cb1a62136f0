"""One stride for each dimension."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        pass


def trigger():
    T.StridedTensor((128, 64), (64,), "float16")


# ruff: noqa
# expect:
# strides_rank.py:12:5: TD0222: the shape has 2 dimensions, but there are 1 strides
#         T.StridedTensor((128, 64), (64,), "float16")
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: give one stride for each dimension
