"""A fragment lies in the registers of one role, or of all threads."""

import tiledsl.language as T


def kernel(A: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=256):
        F = T.alloc_fragment((64, 64), "float32")
        with T.ws(0):
            T.clear(F)
        T.copy(F, A)


# ruff: noqa
# expect:
# fragment_of_a_role_and_the_block.py:11:9: TD0506: fragment 'F' is used by threads 0 to 127, and by all threads of the block
#             T.copy(F, A)
#             ^^^^^^^^^^^^
#   note: used first here (fragment_of_a_role_and_the_block.py:10:13)
#                 T.clear(F)
#                 ^^^^^^^^^^
#   hint: give each role a fragment of its own, and pass values through shared memory
