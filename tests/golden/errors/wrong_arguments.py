"""A word called with too few arguments."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        T.copy(A)


# ruff: noqa
# expect:
# wrong_arguments.py:8:9: TD0116: TypeError: copy() missing 1 required positional argument: 'dst'
#             T.copy(A)
#             ^^^^^^^^^
