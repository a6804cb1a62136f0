import numpy as np


def inputs(rng):
    return {
        "A": rng.integers(0, 9, (4, 4, 6, 8)).astype(np.float16),
        "B": np.zeros((24, 36), np.float32),
        "C": np.zeros((24, 72), np.float16),
    }


def reference(A, B, C):
    def matrix(stride, dilation, pad):
        padded = np.pad(A, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        high, wide = ((side + 2 * pad - 2 * dilation - 1) // stride + 1 for side in (4, 6))
        taps = [
            padded[:, y : y + high * stride : stride, x : x + wide * stride : stride][:, :high, :wide]
            for y in range(0, 3 * dilation, dilation)
            for x in range(0, 3 * dilation, dilation)
        ]
        return np.concatenate([t.reshape(-1, 8) for t in taps], 1)

    return {"B": matrix(1, 1, 1)[:24, 36:72].astype(np.float32), "C": matrix(2, 2, 2)[:24]}


# ruff: noqa
# expect:
# kernel kernel<n>(A: global float16[n, 4, 6, 8], B: global float32[24, 36], C: global float16[24, 72]) {
#   launch kernel(bx in 2) threads(thread in 64) {
#     alloc S: shared float32[12, 36]
#     alloc R: shared float16[24, 72]
#     copy im2col(kernel=3, stride=1, dilation=1, pad=1) A[bx * 12 : 12, 36 : 36] -> S
#     copy S -> B[bx * 12 : 12, 0 : 36]
#     if bx == 0 {
#       copy im2col(kernel=3, stride=2, dilation=2, pad=2) A[0 : 24, 0 : 72] -> R
#       copy R -> C
#     }
#   }
# }
