import numpy as np


def inputs(_rng):
    return {"A": np.zeros((2, 8), np.int32), "B": np.zeros((2, 4), np.int32)}


def reference(A, B):
    for b in range(2):
        n, steps = b, 0
        while n < 20:
            before, n, steps = n, n + 3, steps + 1
            n = n * 2 + 1 if n % 2 == 0 else n
            A[b, steps - 1] = before * 100 + n
        B[b] = n, steps, 20 - n, 7 if b else 1
    return {"A": A, "B": B}


# ruff: noqa
# expect:
# kernel kernel(A: global int32[2, 8], B: global int32[2, 4]) {
#   launch kernel(b in 2) threads(thread in 32) {
#     alloc n: var int32 = cast<int32>(b)
#     alloc _Counter__steps: var int32 = 0
#     while n < 20 {
#       let before: int32 = n
#       n = n + 3
#       _Counter__steps = _Counter__steps + 1
#       if n % 2 == 0 {
#         let x: int32 = n
#         n = x * 2 + 1
#       }
#       if _Counter__steps <= 8 {
#         A[b, cast<index>(_Counter__steps - 1)] = before * 100 + n
#       }
#     }
#     B[b, 0] = n
#     B[b, 1] = _Counter__steps
#     B[b, 2] = 20 - n
#     alloc v: var int32 = 1
#     if b == 1 {
#       v = 7
#     }
#     B[b, 3] = v
#   }
# }
