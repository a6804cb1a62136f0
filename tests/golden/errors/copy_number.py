"""A number is no tile."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        S = T.alloc_shared((128, 64), "float16")
        T.copy(0, S)


# ruff: noqa
# expect:
# copy_number.py:9:9: TD0235: src of T.copy must be a tensor or a part of one, not 0 (int)
#             T.copy(0, S)
#             ^^^^^^^^^^^^
#   hint: pass a parameter of the kernel, what an alloc_ word made, or a slice of these
