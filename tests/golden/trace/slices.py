import numpy as np


def inputs(rng):
    a = rng.integers(-9, 9, (64, 16)).astype(np.float32)
    return {"A": a, "Pages": np.array([5, 0, 3], np.int32), "C": np.zeros((24, 16), np.float32), "skip": 3}


def reference(A, Pages, C, skip):
    out = np.zeros_like(C)
    for b, page in enumerate(Pages):
        out[b * 8 : b * 8 + 8] = A[page * 8 : page * 8 + 8]
        first = page * 8 + skip + 2 * b
        out[b * 8 + 2 : b * 8 + 6] = A[first : first + 4]
        out[b * 8 + 7] = A[page * 8]
    return {"C": out}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[64, 16], Pages: global int32[3], C: global float32[24, 16], skip: int64) {
#   launch kernel(b in 3) threads(thread in 32) {
#     let page: int32 = Pages[b]
#     alloc tile: fragment float32[8, 16]
#     copy A[cast<index>(page * 8) : 8, 0 : 16] -> tile
#     copy tile -> C[b * 8 : 8, 0 : 16]
#     alloc narrow: fragment float32[4, 16]
#     copy A[cast<index>(cast<int64>(page * 8) + skip) + 2 * b : 4, 0 : 16] -> narrow
#     copy narrow -> C[b * 8 + 2 : 4, 0 : 16]
#     copy A[cast<index>(Pages[b] * 8), 0 : 16] -> C[b * 8 + 7, 0 : 16]
#   }
# }
