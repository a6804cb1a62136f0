import numpy as np


def inputs(rng):
    return {name: rng.integers(-9, 9, (2, 64)).astype(np.float32) for name in "ASL"}


def reference(A, S, L):
    least = np.where(np.arange(64) == 3, 100, A.min(axis=0))
    return {"S": np.repeat(A.sum(axis=1), 64).reshape(2, 64), "L": np.stack([least, least]).astype(np.float32)}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[2, 64], S: global float32[2, 64], L: global float32[2, 64]) {
#   launch kernel(bx in 1) threads(thread in 2, 64) {
#     let x = thread % 2
#     let y = thread // 2
#     alloc least: local float32[1]
#     let partial: float32 = A[x, y]
#     let partial_1: float32 = partial + shfl_xor(partial, int32(2))
#     let partial_2: float32 = partial_1 + shfl_xor(partial_1, int32(4))
#     let partial_3: float32 = partial_2 + shfl_xor(partial_2, int32(8))
#     let partial_4: float32 = partial_3 + shfl_xor(partial_3, int32(16))
#     alloc shared_1: shared float32[128]
#     shared_1[thread] = partial_4
#     let first = thread - thread // 32 % 2 * 32 - thread // 64 % 2 * 64
#     let combined: float32 = shared_1[first + 0]
#     let combined_1: float32 = combined + shared_1[first + 64]
#     let combined_2: float32 = combined_1 + shared_1[first + 32]
#     let combined_3: float32 = combined_2 + shared_1[first + 96]
#     S[x, y] = combined_3
#     let partial_5: float32 = select(y != 3, A[x, y], 100.0)
#     let partial_6: float32 = min(partial_5, shfl_xor(partial_5, int32(1)))
#     least[0] = partial_6
#     L[x, y] = least[0]
#   }
# }
