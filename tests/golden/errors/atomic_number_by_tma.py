"""The copy engine adds tiles, not numbers."""

import tiledsl.language as T


def kernel(A: T.Tensor((128,), "float32")):
    with T.Kernel(1):
        T.atomic_add(A[0], 1.0, use_tma=True)


# ruff: noqa
# expect:
# atomic_number_by_tma.py:8:9: TD0226: use_tma of T.atomic_add cannot be True
#             T.atomic_add(A[0], 1.0, use_tma=True)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: True where a tile is added to a tile
