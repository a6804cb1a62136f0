"""Extents of slices follow from differences, also of machine integers whose arithmetic could wrap."""

import tiledsl.language as T


def kernel(
    A: T.Tensor((64, 16), "float32"),
    Pages: T.Tensor((3,), "int32"),
    C: T.Tensor((24, 16), "float32"),
    skip: T.int64,
):
    with T.Kernel(3, threads=32) as b:
        page = Pages[b]
        tile = T.alloc_fragment((8, 16), "float32")
        T.copy(A[page * 8 : (page + 1) * 8, :], tile)
        T.copy(tile, C[b * 8 : b * 8 + 8, :])
        narrow = T.alloc_fragment((4, 16), "float32")
        T.copy(A[page * 8 + skip + 2 * b : skip - (2 - page * 4 - b) * 2 + 8, :], narrow)
        T.copy(narrow, C[b * 8 + 2 : b * 8 + 6, :])
        T.copy(A[Pages[b] * 8 : Pages[b] * 8 + 1, :], C[b * 8 + 7, :])
