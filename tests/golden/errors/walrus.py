"""An assignment that may not be made."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        if n > 3 and (m := n + 1) < 8:
            A[0, 0] = m


# ruff: noqa
# expect:
# walrus.py:8:23: TD0139: ':=' stands on a side of 'and', 'or', 'if' or a chained comparison that may not be evaluated
#             if n > 3 and (m := n + 1) < 8:
#                           ^^^^^^^^^^
#   hint: assign in a statement before
