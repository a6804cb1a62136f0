"""A kernel launches something."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    T.ceildiv(128, 4)


# ruff: noqa
# expect:
# no_launch.py:6: TD0121: 'kernel' launches nothing
#     def kernel(A: T.Tensor((128, 64), "float16")):
#     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: open a block with 'with T.Kernel(...) as ...:'
