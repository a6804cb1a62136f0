"""A fragment takes a T.Fragment."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_fragment((128, 64), "float16")
        T.annotate_layout({S: T.Layout((128, 64), lambda i, j: i * 64 + j)})
        T.copy(A, S)


# ruff: noqa
# expect:
# layout_kind.py:9:9: TD0236: a Layout cannot be the layout of 'S', a fragment tensor of shape (128, 64)
#             T.annotate_layout({S: T.Layout((128, 64), lambda i, j: i * 64 + j)})
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: shared tensors take a T.Layout, fragments a T.Fragment
