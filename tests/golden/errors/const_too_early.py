"""A size is used before the tensors are declared."""

import tiledsl.language as T


def kernel(A):
    M = T.const("M")
    assert M % 8 == 0
    if M > 64:
        M = 64
    A: T.Tensor((M,), T.float32)
    with T.Kernel(1):
        A[0] = 0


TENSORS = {"A": ((64,), "float32")}


# ruff: noqa
# expect:
# const_too_early.py:9:8: TD0147: an 'if' on a traced value stands before the tensors of the kernel are declared
#         if M > 64:
#            ^^^^^^
#   hint: declare all tensors first: A: T.Tensor((M, N), dtype)
