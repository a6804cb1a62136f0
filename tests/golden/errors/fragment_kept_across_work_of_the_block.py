"""A role ends where all threads work together."""

import tiledsl.language as T


def kernel(A: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=256):
        F = T.alloc_fragment((64, 64), "float32")
        for k in range(4):
            T.sync_threads()
            with T.ws(0):
                T.clear(F)
        with T.ws(0):
            T.copy(F, A)


# ruff: noqa
# expect:
# fragment_kept_across_work_of_the_block.py:14:13: TD0506: fragment 'F' is used by threads 0 to 127, and by the same threads again, after work that all threads do together
#                 T.copy(F, A)
#                 ^^^^^^^^^^^^
#   note: used first here (fragment_kept_across_work_of_the_block.py:12:17)
#                     T.clear(F)
#                     ^^^^^^^^^^
#   hint: give each role a fragment of its own, and pass values through shared memory
