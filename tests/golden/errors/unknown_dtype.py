"""A dtype that does not exist gets a suggestion."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        T.alloc_shared((128, 64), "floot16")


# ruff: noqa
# expect:
# unknown_dtype.py:8:9: TD0201: 'floot16' is no dtype
#             T.alloc_shared((128, 64), "floot16")
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: did you mean 'float16'?
