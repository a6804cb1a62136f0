"""A tensor of the constant style is used too early."""

import tiledsl.language as T


def kernel(A):
    M = T.const("M")
    with T.Kernel(1):
        A[0] = 0
    A: T.Tensor((M,), T.float32)


TENSORS = {"A": ((64,), "float32")}


# ruff: noqa
# expect:
# undeclared_tensor.py:9:9: TD0140: tensor parameter 'A' is used before it is declared
#             A[0] = 0
#             ^^^^
#   hint: declare it first: A: T.Tensor(shape, dtype)
