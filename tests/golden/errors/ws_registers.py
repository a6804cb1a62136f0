"""Registers are dealt in eights."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=256):
        with T.ws(0):
            T.set_max_nreg(250, 1)


# ruff: noqa
# expect:
# ws_registers.py:9:13: TD0226: reg_count of T.set_max_nreg cannot be 250 (int)
#                 T.set_max_nreg(250, 1)
#                 ^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: a multiple of 8 from 24 to 256
