"""A view has as many bits as its tensor."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        T.copy(A, S)
        T.reshape(S, (64, 64))
