"""Warpgroups of a role are neighbours."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=384):
        with T.ws(0, 2):
            A[0] = 1


# ruff: noqa
# expect:
# ws_apart.py:8:14: TD0251: T.ws cannot run on the warpgroups 0, 2
#             with T.ws(0, 2):
#                  ^^^^^^^^^^
#   hint: the warpgroups of a block must be neighbours; write a block for each
