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
