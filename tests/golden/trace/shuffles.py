# ruff: noqa
# expect:
# kernel kernel(A: global float32[4, 32], B: global float32[4]) {
#   launch kernel(bx in 1) threads(thread in 128) {
#     let lane = thread % 32
#     let warp = thread // 32
#     let partial: float32 = A[warp, lane]
#     let partial_1: float32 = partial + shfl_xor(partial, int32(16))
#     let partial_2: float32 = partial_1 + shfl_xor(partial_1, int32(8))
#     let partial_3: float32 = partial_2 + shfl_xor(partial_2, int32(4))
#     let partial_4: float32 = partial_3 + shfl_xor(partial_3, int32(2))
#     let partial_5: float32 = partial_4 + shfl_xor(partial_4, int32(1))
#     if lane == 0 {
#       B[warp] = partial_5
#     }
#     if warp_any(A[warp, lane] > 3.0) {
#       B[warp] = shfl_idx(partial_5, int32(5))
#     }
#   }
# }
