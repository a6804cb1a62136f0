"""Two slices of different extents."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(4) as b:
        S = T.alloc_shared((32, 64), "float16")
        T.copy(A[b * 32 : b * 32 + 16, :], S)


# ruff: noqa
# expect:
# copy_slices.py:9:9: TD0213: T.copy needs equal extents, but 'A' (16, 64) and 'S' (32, 64) differ
#             T.copy(A[b * 32 : b * 32 + 16, :], S)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: make both slices equally long
