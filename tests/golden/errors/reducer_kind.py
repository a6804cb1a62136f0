"""Reducers compute a sum, a maximum or a minimum."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32")):
    with T.Kernel(1):
        r = T.alloc_reducer((8,), "float32", op="bitor")


# ruff: noqa
# expect:
# reducer_kind.py:8:13: TD0226: op of T.alloc_reducer cannot be 'bitor' (str)
#             r = T.alloc_reducer((8,), "float32", op="bitor")
#                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: sum, max, min
