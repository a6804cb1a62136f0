"""There is no list of barriers that a number could name."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=128):
        T.mbarrier_wait_parity(0, 0)


# ruff: noqa
# expect:
# barrier_number.py:8:9: TD0250: T.mbarrier_wait_parity needs a barrier, not 0 (int)
#             T.mbarrier_wait_parity(0, 0)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: make barriers with T.alloc_barrier, or a list of them with T.create_list_of_mbarrier first
