"""No common dtype."""

import tiledsl.language as T


def kernel(B: T.Tensor((64,), "int32"), C: T.Tensor((64,), "uint32")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            B[i] = B[i] + C[i]


# ruff: noqa
# expect:
# signedness.py:9:20: TD0203: int32 and uint32 have no common dtype
#                 B[i] = B[i] + C[i]
#                        ^^^^^^^^^^^
#   hint: convert one of them: x.astype(...)
