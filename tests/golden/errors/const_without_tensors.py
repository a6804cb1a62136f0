"""A size of T.const without a tensor to read it off."""

import tiledsl.language as T


def kernel(A):
    M, N = T.const("M, N")
    A: T.Tensor((M, N), T.float32)
    with T.Kernel(1):
        A[0, 0] = 0


STATIC = {"M": 3}


# ruff: noqa
# expect:
# const_without_tensors.py:7:12: TD0148: the size 'N' of T.const has no value, because no tensor is given
#         M, N = T.const("M, N")
#                ^^^^^^^^^^^^^^^
#   hint: pass it by name: compile(N=...), or -a N=... on the command line
