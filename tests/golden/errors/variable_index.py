"""A variable is one number: its one element is [0]."""

import tiledsl.language as T


def kernel(A: T.Tensor((4,), "int32")):
    with T.Kernel(1):
        v = T.alloc_var("int32", 3)
        A[0] = v[0]
        A[1] = v[1]


# ruff: noqa
# expect:
# variable_index.py:10:16: TD0107: v is known only when the kernel runs, so it cannot be something to index by 1 (int): its one element is [0]
#             A[1] = v[1]
#                    ^^^^
#   hint: use a Python number or a compile-time parameter; a 'for' over a list or tuple runs at trace time
