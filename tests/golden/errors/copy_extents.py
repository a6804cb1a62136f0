"""Two whole tiles of different extents."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 32), "float16")
        T.copy(A, S)


# ruff: noqa
# expect:
# copy_extents.py:9:9: TD0213: T.copy needs equal extents, but 'A' (128, 64) and 'S' (128, 32) differ
#             T.copy(A, S)
#             ^^^^^^^^^^^^
#   hint: take a slice of the larger one, A[i:i + 128, j:j + 32], or allocate 'S' with the shape (128, 64)
