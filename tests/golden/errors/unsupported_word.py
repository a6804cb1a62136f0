"""A word that is planned is named."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        with T.ws(0):
            T.copy(A, A)


# ruff: noqa
# expect:
# unsupported_word.py:8:14: TD0103: T.ws is not supported yet
#             with T.ws(0):
#                  ^^^^
#   hint: warp specialisation is not there yet: use T.Pipelined with num_stages
