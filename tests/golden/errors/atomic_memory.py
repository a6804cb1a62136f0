"""Atomic updates work on shared and global memory."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        S = T.alloc_fragment((128,), "float32")
        for i in T.Parallel(128):
            T.atomic_add(S[i], 1)


# ruff: noqa
# expect:
# atomic_memory.py:10:13: TD0219: operand dst of T.atomic_add, 'S', lies in fragment memory
#                 T.atomic_add(S[i], 1)
#                 ^^^^^^^^^^^^^^^^^^^^^
#   hint: it must come from a parameter or T.alloc_shared
