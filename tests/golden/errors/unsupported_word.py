"""A word that is planned is named."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        with T.ws(0):
            T.copy(A, A)
