import numpy as np


def inputs(rng):
    return {"limit": 4, "B": np.zeros(8, np.int32)}


def reference(limit, B):
    # 22 -> 11 -> 34 -> 17 -> 52 -> 26
    return {"B": np.array([22, 26, 5, 2, -4, 27, 21, 6], np.int32)}


# ruff: noqa
# expect:
# kernel kernel(limit: int32, B: global int32[8]) {
#   launch kernel(bx in 1) threads(thread in 32) {
#     alloc total: var int32 = 0
#     for i in 4 {
#       total = cast<int32>(cast<index>(total) + (10 + i * -3))
#     }
#     B[0] = total
#     alloc steps: var int32 = 0
#     while total > 1 {
#       steps = steps + 1
#       if total % 2 == 0 {
#         total = total // 2
#       } else if total > 40 {
#         total = total - 1
#         continue
#       } else {
#         total = 3 * total + 1
#       }
#       if steps >= 5 {
#         break
#       }
#     }
#     B[1] = total
#     B[2] = steps
#     alloc kind: var int32 = 7
#     if limit > 2 and limit <= 5 and not (limit == 4) {
#       kind = 1
#     } else if limit == 4 or limit > 100 {
#       kind = 2
#     }
#     B[3] = kind
#     B[4] = select(limit < 3, limit, -limit)
#     let y: int32 = B[0]
#     let value: int32 = B[0] - 1
#     B[5] = y + 5
#     B[6] = value
#     for k in 3 {
#       B[7] = cast<int32>(2 + k * 2)
#     }
#   }
# }
