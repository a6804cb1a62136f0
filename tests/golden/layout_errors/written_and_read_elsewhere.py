"""An in-place transpose: iterations read what others write."""

import tiledsl.language as T


def kernel(C: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=128):
        c = T.alloc_fragment((64, 64), "float32")
        T.copy(C, c)
        for i, j in T.Parallel(64, 64):
            if i > j:
                c[i, j] = c[j, i] * 2.0
        T.copy(c, C)


# ruff: noqa
# expect:
# written_and_read_elsewhere.py:12:17: TD0304: fragment 'c' is written at [i, j] and accessed at [j, i] in one T.Parallel
#                     c[i, j] = c[j, i] * 2.0
#                     ^^^^^^^
#   hint: use two T.Parallel loops, or two buffers: the iterations run in no order
