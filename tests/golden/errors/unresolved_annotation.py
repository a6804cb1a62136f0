"""The names of an annotation must exist."""

import tiledsl.language as T


def kernel(A: "T.Tensor((SIZE,), T.float16)"):
    with T.Kernel(1):
        A[0] = 0
