"""An instruction that is written out must exist on the target."""

import tiledsl.language as T


def kernel(C: T.Tensor((16, 8), "float32")):
    with T.Kernel(1, threads=32):
        a = T.alloc_local((16,), "float8_e4m3")
        c = T.alloc_local((4,), "float32")
        T.clear(a)
        T.clear(c)
        T.ptx_mma("float32", "m16n8k32", "row", "col", "e4m3", "e4m3", "fp32", a, 0, a, 0, c, 0)
        C[0, 0] = c[0]


# ruff: noqa
# expect:
# emitted_fp8_on_sm_80.py:12:9: TD0311: multiplying float8_e4m3fn by float8_e4m3fn into float32 needs mma_fp8, which sm_80 lacks
#             T.ptx_mma("float32", "m16n8k32", "row", "col", "e4m3", "e4m3", "fp32", a, 0, a, 0, c, 0)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: compile for a newer target, or convert the operands to float16
