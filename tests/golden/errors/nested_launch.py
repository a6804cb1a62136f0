"""Launches cannot be nested."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(4):
        with T.Kernel(2):
            A[0, 0] = 0


# ruff: noqa
# expect:
# nested_launch.py:8:9: TD0120: T.Kernel blocks cannot be nested
#             with T.Kernel(2):
#             ^^^^^^^^^^^^^^^^^
#   hint: close the first block before opening the second: each becomes a launch of its own
