"""Python's own arithmetic fails."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    scale = T.log2(-1.0)
    with T.Kernel(1):
        A[0, 0] = scale


# ruff: noqa
# expect:
# trace_time_math.py:7:13: TD0116: ValueError: math domain error
#         scale = T.log2(-1.0)
#                 ^^^^^^^^^^^^
