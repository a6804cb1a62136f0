"""One of two barriers must be named."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=128):
        bar = T.alloc_barrier([128, 128])
        T.barrier_arrive(bar)


# ruff: noqa
# expect:
# barrier_of_several.py:9:9: TD0250: T.barrier_arrive needs a barrier, not all of 'bar'
#             T.barrier_arrive(bar)
#             ^^^^^^^^^^^^^^^^^^^^^
#   hint: name one of the 2: bar[i]
