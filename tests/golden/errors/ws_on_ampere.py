"""The copy engine came with Hopper."""

import tiledsl.language as T
from tiledsl.frontend.trace import trace_kernel
from tiledsl.passes.normalise import normalise
from tiledsl.target import target_named


def kernel(A: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        S = T.alloc_shared((64, 64), "float32")
        bar = T.alloc_barrier(128)
        T.tma_copy(A, S, barrier=bar)


def trigger():
    normalise(trace_kernel(kernel, {}, {}), target=target_named("sm_80"))


# ruff: noqa
# expect:
# ws_on_ampere.py:13:9: TD0507: a barrier of T.alloc_barrier does not exist on sm_80
#             T.tma_copy(A, S, barrier=bar)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: compile for sm_90a, or leave copies and products to T.copy, T.gemm and T.Pipelined
