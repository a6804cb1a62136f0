"""An endless loop at trace time."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        while True:
            A[0, 0] = 0


# ruff: noqa
# expect:
# while_true.py:8:15: TD0146: this 'while' never ends: its condition is a constant
#             while True:
#                   ^^^^
#   hint: let it depend on a T.alloc_var, or leave a loop over range(...) with break
