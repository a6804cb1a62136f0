"""An endless loop at trace time."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        while True:
            A[0, 0] = 0
