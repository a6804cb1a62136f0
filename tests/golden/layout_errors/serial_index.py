"""A serial loop indexes the result of a product."""

import tiledsl.language as T


def kernel(C: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        a = T.alloc_shared((64, 64), "float16")
        c = T.alloc_fragment((64, 64), "float32")
        T.gemm(a, a, c)
        for k in T.serial(64):
            for i in T.Parallel(64):
                C[i, k] = c[i, k]


# ruff: noqa
# expect:
# serial_index.py:13:17: TD0302: fragment 'c' is spread over the threads, so 'k' cannot index it: operand c of T.gemm spreads it over the threads
#                     C[i, k] = c[i, k]
#                     ^^^^^^^
#   note: 'c' got its layout from operand c of T.gemm (serial_index.py:10:9)
#             T.gemm(a, a, c)
#             ^^^^^^^^^^^^^^^
#   hint: iterate with T.Parallel over that dimension, or keep the values in shared memory
