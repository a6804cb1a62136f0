"""A value kept in a list does not outlive its block."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    kept = []
    with T.Kernel(1):
        for i in range(64):
            kept.append(A[0, i] + 1)
        A[1, 0] = kept[0]
