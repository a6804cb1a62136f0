"""Tensor cores before sm_89 do not multiply fp8."""

import tiledsl.language as T


def kernel(C: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        a = T.alloc_shared((64, 64), "float8_e4m3")
        c = T.alloc_fragment((64, 64), "float32")
        T.gemm(a, a, c, transpose_B=True)
        T.copy(c, C)


# ruff: noqa
# expect:
# fp8_on_sm_80.py:10:9: TD0311: multiplying float8_e4m3fn by float8_e4m3fn into float32 needs mma_fp8, which sm_80 lacks
#             T.gemm(a, a, c, transpose_B=True)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: compile for a newer target, or convert the operands to float16
