"""Every parameter has a name."""

import tiledsl.language as T


def kernel(*tensors):
    with T.Kernel(1):
        pass


# ruff: noqa
# expect:
# many_arguments.py:6: TD0138: 'tensors' takes any number of arguments
#     def kernel(*tensors):
#     ^^^^^^^^^^^^^^^^^^^^^
#   hint: name every parameter of a kernel
