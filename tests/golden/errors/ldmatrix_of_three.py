"""Instructions that are written out take what the hardware takes."""

import tiledsl.language as T


def kernel(A: T.Tensor((16, 16), "float16")):
    with T.Kernel(1, threads=32):
        S = T.alloc_shared((16, 16), "float16")
        a = T.alloc_local((8,), "float16")
        c = T.alloc_local((4,), "float32")
        T.ptx_ldmatrix("float16", False, 3, ".b16", a, 0, S[0, 0])


# ruff: noqa
# expect:
# ldmatrix_of_three.py:11:9: TD0270: there is no instruction for this: ldmatrix of 3 matrices of float16, .b16
#             T.ptx_ldmatrix("float16", False, 3, ".b16", a, 0, S[0, 0])
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: there is: 1, 2 or 4 matrices, .b16; transposed for elements of 16 bits
