"""A pointer parameter that is used before it is a tensor."""

import tiledsl.language as T


def kernel(p: T.ptr, B: T.Tensor((8,), "float32")):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(8):
            B[i] = p[i]


# ruff: noqa
# expect:
# pointer_is_no_tensor.py:9:20: TD0151: the pointer 'p' is no tensor yet
#                 B[i] = p[i]
#                        ^^^^
#   hint: say what it points to: A = T.make_tensor(p, shape, dtype)
