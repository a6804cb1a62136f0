"""The copy engine converts nothing."""

import tiledsl.language as T


def kernel(A: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        bar = T.alloc_barrier(128)
        S = T.alloc_shared((64, 64), "float16")
        T.tma_copy(A, S, barrier=bar)


# ruff: noqa
# expect:
# tma_copy_converting.py:10:9: TD0254: T.tma_copy cannot move 'A' (64, 64) of float32 to 'S' (64, 64) of float16
#             T.tma_copy(A, S, barrier=bar)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: it converts nothing: use T.copy, or equal dtypes
