"""Instructions that are written out take what the hardware takes."""

import tiledsl.language as T


def kernel(A: T.Tensor((16, 16), "float16")):
    with T.Kernel(1, threads=32):
        S = T.alloc_shared((16, 16), "float16")
        a = T.alloc_local((8,), "float16")
        c = T.alloc_local((4,), "float32")
        T.ptx_ldmatrix("float16", False, 4, ".b16", a, 0, 3)


# ruff: noqa
# expect:
# ldmatrix_of_a_number.py:11:9: TD0235: row of T.ptx_ldmatrix must be a tensor or a part of one, not 3 (int)
#             T.ptx_ldmatrix("float16", False, 4, ".b16", a, 0, 3)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: pass a parameter of the kernel, what an alloc_ word made, or a slice of these
