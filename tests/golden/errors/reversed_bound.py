"""An integer too large for its dtype."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        v = T.alloc_var("int8", 200)
        A[0, v] = 0
