"""Instructions that are written out take what the hardware takes."""

import tiledsl.language as T


def kernel(A: T.Tensor((16, 16), "float16")):
    with T.Kernel(1, threads=32):
        S = T.alloc_shared((16, 16), "float16")
        a = T.alloc_local((8,), "float16")
        c = T.alloc_local((4,), "float32")
        T.ptx_ldmatrix("float16", False, 4, ".b16", a, 0, A[0, 0])


# ruff: noqa
# expect:
# ldmatrix_of_global.py:11:9: TD0219: operand row of T.ptx_ldmatrix, 'A', lies in global memory
#             T.ptx_ldmatrix("float16", False, 4, ".b16", a, 0, A[0, 0])
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: it must come from T.alloc_shared
