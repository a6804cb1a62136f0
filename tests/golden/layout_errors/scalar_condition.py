"""A condition of the whole block reads one element of the result of a product."""

import tiledsl.language as T


def kernel(C: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        a = T.alloc_shared((64, 64), "float16")
        c = T.alloc_fragment((64, 64), "float32")
        T.gemm(a, a, c)
        for k in T.serial(64):
            if c[k, 0] > 0.0:
                T.copy(a[0:64, 0:64], C)


# ruff: noqa
# expect:
# scalar_condition.py:12:16: TD0302: fragment 'c' is spread over the threads, so 'k, 0' cannot index it: every thread would need the element
#                 if c[k, 0] > 0.0:
#                    ^^^^^^^^^^^^^
#   note: operand c of T.gemm spreads it over the threads (scalar_condition.py:10:9)
#             T.gemm(a, a, c)
#             ^^^^^^^^^^^^^^^
#   hint: iterate with T.Parallel over that dimension, or keep the values in shared memory
