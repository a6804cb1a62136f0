"""The notes show the way into a macro."""

import tiledsl.language as T


@T.macro
def load(source, tile):
    T.copy(source, tile)


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shared((128, 32), "float16")
        load(A, S)


# ruff: noqa
# expect:
# error_in_macro.py:8:5: TD0213: T.copy needs equal extents, but 'A' (128, 64) and 'S' (128, 32) differ
#         T.copy(source, tile)
#         ^^^^^^^^^^^^^^^^^^^^
#   note: called from here (error_in_macro.py:14:9)
#             load(A, S)
#             ^^^^^^^^^^
#   hint: take a slice of the larger one, A[i:i + 128, j:j + 32], or allocate 'S' with the shape (128, 64)
