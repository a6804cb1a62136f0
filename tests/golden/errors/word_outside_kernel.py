"""A word called by plain Python."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        pass


def trigger():
    T.alloc_shared((4, 4), "float16")


# ruff: noqa
# expect:
# word_outside_kernel.py:12:5: TD0104: T.alloc_shared was used outside a kernel
#         T.alloc_shared((4, 4), "float16")
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: call it in a function decorated with @tiledsl.kernel
