"""A T.Ref needs a variable."""

import tiledsl.language as T


@T.macro
def increment(v: T.Ref):
    v = v + 1
    return v


def kernel():
    with T.Kernel(1) as b:
        increment(b)
