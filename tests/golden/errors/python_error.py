"""What Python raises has its place."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        T.copy(A, stage)


# ruff: noqa
# expect:
# python_error.py:8:19: TD0116: NameError: name 'stage' is not defined
#             T.copy(A, stage)
#                       ^^^^^
