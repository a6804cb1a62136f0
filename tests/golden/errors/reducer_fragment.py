"""Only a reducer can be finalised."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32")):
    with T.Kernel(1):
        r = T.alloc_fragment((8,), "float32")
        T.clear(r)
        T.finalize_reducer(r)


# ruff: noqa
# expect:
# reducer_fragment.py:10:9: TD0226: reducer of T.finalize_reducer cannot be 'r' (8,)
#             T.finalize_reducer(r)
#             ^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: what T.alloc_reducer made
