"""A compile-time parameter without a value."""

import tiledsl.language as T


def kernel(blocks):
    with T.Kernel(blocks):
        pass


# ruff: noqa
# expect:
# static_missing.py:6: TD0134: 'blocks' is missing: tracing needs a value of the compile-time parameter
#     def kernel(blocks):
#     ^^^^^^^^^^^^^^^^^^^
#   hint: pass blocks=..., or give it a default
