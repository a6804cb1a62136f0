"""The names of an annotation must exist."""

import tiledsl.language as T


def kernel(A: "T.Tensor((SIZE,), T.float16)"):
    with T.Kernel(1):
        A[0] = 0


# ruff: noqa
# expect:
# unresolved_annotation.py:6:12: TD0125: the annotation 'T.Tensor((SIZE,), T.float16)' of 'A' cannot be evaluated: name 'SIZE' is not defined
#     def kernel(A: "T.Tensor((SIZE,), T.float16)"):
#                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: the names in it must exist where the kernel is defined
