"""The else of a kernel loop."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in range(64):
            A[0, i] = 0
        else:
            A[1, 0] = 0


# ruff: noqa
# expect:
# for_else.py:8:18: TD0122: 'else' of a loop works only on loops that run at trace time
#             for i in range(64):
#                      ^^^^^^^^^
#   hint: set a T.alloc_var before 'break' and test it after the loop
