"""Instructions that are written out take what the hardware takes."""

import tiledsl.language as T


def kernel(A: T.Tensor((16, 16), "float16")):
    with T.Kernel(1, threads=32):
        S = T.alloc_shared((16, 16), "float16")
        a = T.alloc_local((8,), "float16")
        c = T.alloc_local((4,), "float32")
        T.ptx_mma("float32", "m16n8k16", "row", "col", "bf16", "bf16", "fp32", a, 0, a, 0, c, 0)


# ruff: noqa
# expect:
# mma_of_other_registers.py:11:9: TD0226: A of T.ptx_mma cannot be 'a', float16
#             T.ptx_mma("float32", "m16n8k16", "row", "col", "bf16", "bf16", "fp32", a, 0, a, 0, c, 0)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: registers of bfloat16
