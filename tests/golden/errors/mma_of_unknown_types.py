"""Instructions that are written out take what the hardware takes."""

import tiledsl.language as T


def kernel(A: T.Tensor((16, 16), "float16")):
    with T.Kernel(1, threads=32):
        S = T.alloc_shared((16, 16), "float16")
        a = T.alloc_local((8,), "float16")
        c = T.alloc_local((4,), "float32")
        T.ptx_mma("float32", "m16n8k16", "row", "col", "int8", "int8", "fp32", a, 0, a, 0, c, 0)


# ruff: noqa
# expect:
# mma_of_unknown_types.py:11:9: TD0270: there is no instruction for this: mma.m16n8k16 of int8 and int8 into float32, row.col
#             T.ptx_mma("float32", "m16n8k16", "row", "col", "int8", "int8", "fp32", a, 0, a, 0, c, 0)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: there is: row.col; mma_m16n8k32_s32_s8; mma_m16n8k32_s32_s8_u8; mma_m16n8k32_s32_u8_s8
