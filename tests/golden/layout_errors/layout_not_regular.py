"""A fragment whose threads follow no digits of the index."""

import tiledsl.language as T


def kernel(A: T.Tensor((128,), "float32")):
    with T.Kernel(1, threads=128):
        x = T.alloc_fragment((128,), "float32")
        T.annotate_layout({x: T.Fragment((128,), lambda i: ((i * i + i) // 2 % 128, 0))})
        T.copy(A, x)


# ruff: noqa
# expect:
# layout_not_regular.py:9:31: TD0308: the layout function of 'T.Fragment' is not regular: threads or registers are no mixed-radix map from 0 on
#             T.annotate_layout({x: T.Fragment((128,), lambda i: ((i * i + i) // 2 % 128, 0))})
#                                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: a layout must be built from digits of the index (//, %, *, +) and, in shared memory, one XOR swizzle
