"""A side that may not be evaluated has an effect."""

import tiledsl.language as T


def kernel(B: T.Tensor((64,), "int32"), n: T.int32):
    with T.Kernel(1):
        if n > 3 and T.atomic_add(B[0], 1, return_prev=True) == 0:
            B[1] = 0


# ruff: noqa
# expect:
# effect_in_and.py:8:12: TD0115: a side of and has effects, and may not be evaluated at run time
#             if n > 3 and T.atomic_add(B[0], 1, return_prev=True) == 0:
#                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: write it as an 'if' statement, or compute the side before
