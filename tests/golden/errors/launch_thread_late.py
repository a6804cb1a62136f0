"""An axis of a launch that is named behind its work."""

import tiledsl.language as T


def kernel(A: T.Tensor((8,), "float32")):
    t = T.launch_thread("threadIdx.x", 8)
    A[t] = 1
    b = T.launch_thread("blockIdx.x", 8)


# ruff: noqa
# expect:
# launch_thread_late.py:9:9: TD0152: T.launch_thread of 'blockIdx.x' stands behind work of the launch
#         b = T.launch_thread("blockIdx.x", 8)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: move it up: all axes are launched before the first statement
