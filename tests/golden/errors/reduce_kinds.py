"""Integers and floats do not mix."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_fragment((128, 64), "int32")
        r = T.alloc_fragment((128,), "float32")
        T.reduce_sum(X, r)


# ruff: noqa
# expect:
# reduce_kinds.py:10:9: TD0241: T.reduce_sum cannot mix integers and floats: 'X' is int32, 'r' is float32
#             T.reduce_sum(X, r)
#             ^^^^^^^^^^^^^^^^^^
#   hint: allocate dst with the dtype of src, or a wider one of its kind
