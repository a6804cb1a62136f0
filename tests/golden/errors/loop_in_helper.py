"""A loop word in a plain helper function."""

import tiledsl.language as T


def zero(tile):
    for i, j in T.Parallel(128, 64):
        tile[i, j] = 0


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        zero(A)


# ruff: noqa
# expect:
# loop_in_helper.py:7:5: TD0135: T.Parallel can be looped over only by a 'for' statement of a kernel or a macro
#         for i, j in T.Parallel(128, 64):
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   note: called from here (loop_in_helper.py:13:9)
#             zero(A)
#             ^^^^^^^
#   hint: decorate the helper with @T.macro; in a comprehension use range
