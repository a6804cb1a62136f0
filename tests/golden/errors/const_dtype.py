"""The argument has another dtype."""

import tiledsl.language as T


def kernel(A):
    M, N = T.const("M, N")
    A: T.Tensor((M, N), T.float16)
    with T.Kernel(1):
        A[0, 0] = 0


TENSORS = {"A": ((64, 32), "float32")}


# ruff: noqa
# expect:
# const_dtype.py:8:5: TD0137: the dtype of argument 'A' is float32, but the kernel declares float16
#         A: T.Tensor((M, N), T.float16)
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: pass a tensor as declared
