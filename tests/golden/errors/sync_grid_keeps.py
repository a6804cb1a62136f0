"""A tile in shared memory that would have to last across a barrier of the grid."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 64), "float32")):
    with T.Kernel(8, threads=64) as b:
        S = T.alloc_shared((64,), "float32")
        T.copy(A[b, 0:64], S)
        T.sync_grid()
        T.copy(S, A[7 - b, 0:64])


# ruff: noqa
# expect:
# sync_grid_keeps.py:10:9: TD0153: 'S' would have to last across T.sync_grid
#             T.sync_grid()
#             ^^^^^^^^^^^^^
#   note: made here (sync_grid_keeps.py:8:13)
#             S = T.alloc_shared((64,), "float32")
#                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: keep it in global memory (T.alloc_global), or make it behind T.sync_grid
