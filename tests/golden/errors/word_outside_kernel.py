"""A word called by plain Python."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        pass


def trigger():
    T.alloc_shared((4, 4), "float16")
