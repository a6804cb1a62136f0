"""A word that is planned is named."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        T.alloc_tmem((64, 64), "float32")
        T.copy(A, A)


# ruff: noqa
# expect:
# unsupported_word.py:8:9: TD0103: T.alloc_tmem is not supported yet
#             T.alloc_tmem((64, 64), "float32")
#             ^^^^^^^^^^^^
#   hint: tensor memory is not there yet
