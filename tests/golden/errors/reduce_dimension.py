"""There is no such dimension."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_fragment((128, 64), "float32")
        r = T.alloc_fragment((128,), "float32")
        T.reduce_max(X, r, dim=2)


# ruff: noqa
# expect:
# reduce_dimension.py:10:9: TD0239: T.reduce_max cannot work along dimension 2 (int) of 'X' (128, 64)
#             T.reduce_max(X, r, dim=2)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: dimensions count from 0, negative ones from the end
