"""Atomic updates work on shared and global memory."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        S = T.alloc_fragment((128,), "float32")
        for i in T.Parallel(128):
            T.atomic_add(S[i], 1)
