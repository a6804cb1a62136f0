"""A fragment for more threads than the block has."""

import tiledsl.language as T


def kernel(A: T.Tensor((256,), "float32")):
    with T.Kernel(1, threads=128):
        x = T.alloc_fragment((256,), "float32")
        T.annotate_layout({x: T.Fragment((256,), lambda i: (i, 0))})
        T.copy(A, x)


# ruff: noqa
# expect:
# layout_for_other_threads.py:7:10: TD0307: the layout given for 'x' does not fit: it is for 256 threads, the block has 128
#         with T.Kernel(1, threads=128):
#              ^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: shapes, thread counts and index functions must agree with the buffer and the block
