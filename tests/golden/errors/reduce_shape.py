"""The destination has the wrong shape."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_fragment((128, 64), "float32")
        r = T.alloc_fragment((64,), "float32")
        T.reduce_sum(X, r, dim=1)
