"""A kernel whose text cannot be read."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        pass


def trigger():
    from tiledsl.frontend.signature import signature_of

    made = {}
    exec("def kernel(A):\n    return A", made)
    signature_of(made["kernel"])


# ruff: noqa
# expect:
# no_source.py:16:5: TD0101: the source of 'kernel' cannot be read
#         signature_of(made["kernel"])
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: define the kernel in a file or a notebook cell: its text is rewritten, so it must be at hand
