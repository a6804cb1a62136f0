"""A word that does not exist gets a suggestion."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_shard((128, 64), "float16")
        T.copy(A, S)


# ruff: noqa
# expect:
# unknown_word.py:8:13: TD0102: T has no word 'alloc_shard'
#             S = T.alloc_shard((128, 64), "float16")
#                 ^^^^^^^^^^^^^
#   hint: did you mean T.alloc_shared?
