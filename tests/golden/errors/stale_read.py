"""An unnamed value is used after its memory was written."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        first = [A[0, 0]]
        A[0, 0] = 1
        A[0, 1] = first[0]


# ruff: noqa
# expect:
# stale_read.py:10:9: TD0117: A[0, 0] was read from 'A' before 'A' was written, and is used after
#             A[0, 1] = first[0]
#             ^^^^^^^
#   hint: give the value a name where it is read: x = ...; a name keeps what was read
