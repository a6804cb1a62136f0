"""A T.Ref needs a variable."""

import tiledsl.language as T


@T.macro
def increment(v: T.Ref):
    v = v + 1
    return v


def kernel():
    with T.Kernel(1) as b:
        increment(b)


# ruff: noqa
# expect:
# by_reference.py:14:9: TD0144: parameter 'v' of macro 'increment' is a T.Ref, but b (index) is neither a variable nor a tensor
#             increment(b)
#             ^^^^^^^^^^^^
#   hint: pass what T.alloc_var made
