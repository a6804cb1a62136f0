"""The copy engine does not reach registers."""

import tiledsl.language as T


def kernel(A: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        bar = T.alloc_barrier(128)
        F = T.alloc_fragment((64, 64), "float32")
        T.tma_copy(A, F, barrier=bar)


# ruff: noqa
# expect:
# tma_copy_registers.py:10:9: TD0254: T.tma_copy cannot move 'A' (64, 64) in global to 'F' (64, 64) in fragment
#             T.tma_copy(A, F, barrier=bar)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: it copies from global to shared memory or it copies from shared to global memory
