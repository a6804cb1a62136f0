"""A float32 product without tensor cores, for a tile that the threads cannot share evenly."""

import tiledsl.language as T


def kernel(C: T.Tensor((30, 30), "float32")):
    with T.Kernel(1, threads=128):
        a = T.alloc_shared((30, 16), "float32")
        b = T.alloc_shared((16, 30), "float32")
        c = T.alloc_fragment((30, 30), "float32")
        T.gemm(a, b, c)
        T.copy(c, C)


# ruff: noqa
# expect:
# no_thread_partition.py:11:9: TD0316: no legal thread partition: a 30 x 30 tile cannot be cut evenly among 128 threads
#             T.gemm(a, b, c)
#             ^^^^^^^^^^^^^^^
#   hint: choose tile and thread numbers of which one divides the other
