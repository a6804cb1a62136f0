"""Only parameters are declared."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    S: T.Tensor((128, 64), "float16")
    with T.Kernel(1):
        T.copy(A, S)


# ruff: noqa
# expect:
# declared_twice.py:7:5: TD0136: 'S: T.Tensor(...)' declares a tensor, but 'S' is no undeclared parameter of the kernel
#         S: T.Tensor((128, 64), "float16")
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: declare each tensor parameter once; outputs are made by T.empty, tiles by T.alloc_shared
