"""A pipelined loop that writes to what it may have read ahead."""

import tiledsl.language as T


def kernel(A: T.Tensor((256, 64), "float16"), B: T.Tensor((256, 64), "float16")):
    T.annotate_restrict_buffers(A, B)
    with T.Kernel(1, threads=128):
        S = T.alloc_shared((64, 64), "float16")
        for k in T.Pipelined(4, num_stages=2):
            T.copy(A[k * 64, 0], S)
            T.copy(S, B[k * 64, 0])


# ruff: noqa
# expect:
# pipeline_overlaps.py:10:18: TD0150: a pipelined loop writes 'B' and uses 'A', which may share its memory
#             for k in T.Pipelined(4, num_stages=2):
#                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: use a serial loop, or do not annotate them if they are apart
