"""A product goes into a part of a fragment."""

import tiledsl.language as T


def kernel(C: T.Tensor((128, 64), "float32")):
    with T.Kernel(1, threads=128):
        a = T.alloc_shared((64, 64), "float16")
        c = T.alloc_fragment((128, 64), "float32")
        T.gemm(a, a, c[0:64, 0:64])
        T.copy(c, C)


# ruff: noqa
# expect:
# part_of_a_fragment.py:10:9: TD0314: operand c of T.gemm, 'c', is a part of a fragment
#             T.gemm(a, a, c[0:64, 0:64])
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: a and b must be shared tiles or whole fragments, c a whole fragment
