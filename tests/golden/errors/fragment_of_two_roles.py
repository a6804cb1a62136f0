"""A fragment lies in the registers of one role."""

import tiledsl.language as T


def kernel(A: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=256):
        F = T.alloc_fragment((64, 64), "float32")
        with T.ws(0):
            T.clear(F)
        with T.ws(1):
            T.copy(F, A)


# ruff: noqa
# expect:
# fragment_of_two_roles.py:12:13: TD0506: fragment 'F' is used by threads 0 to 127, and by threads 128 to 255
#                 T.copy(F, A)
#                 ^^^^^^^^^^^^
#   note: used first here (fragment_of_two_roles.py:10:13)
#                 T.clear(F)
#                 ^^^^^^^^^^
#   hint: give each role a fragment of its own, and pass values through shared memory
