"""Exchange within a warp. The text only: the tile-stage interpreter does not model lanes."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 32), "float32"), B: T.Tensor((4,), "float32")):
    with T.Kernel(1, threads=128):
        lane, warp = T.get_lane_idx(), T.get_warp_idx()
        total = T.warp_reduce_sum(A[warp, lane])
        if lane == 0:
            B[warp] = total
        if T.any_sync(A[warp, lane] > 3):
            B[warp] = T.shfl(total, 5)


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
