"""The destination has the wrong shape."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_fragment((128, 64), "float32")
        r = T.alloc_fragment((64,), "float32")
        T.reduce_sum(X, r, dim=1)


# ruff: noqa
# expect:
# reduce_shape.py:10:9: TD0240: T.reduce_sum of 'X' (128, 64) along dimension 1 gives (128,) or (128, 1), but dst is 'r' (64,)
#             T.reduce_sum(X, r, dim=1)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allocate dst with one of these shapes
