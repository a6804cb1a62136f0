"""An unnamed value is used after its memory was written."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        first = [A[0, 0]]
        A[0, 0] = 1
        A[0, 1] = first[0]
