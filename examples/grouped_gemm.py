"""Grouped matrix products for Hopper (sm_90a): many products of different heights in one launch.

The rows of all groups are packed into one matrix, as those of the experts of a mixture are; each group has a matrix B
of its own. Where a group begins is read from a tensor, so one binary serves every division of the rows.
"""

from itertools import pairwise

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case


def gemm_grouped(rows, N, K, groups, block=(128, 128, 64), num_stages=4, threads=256):
    """C[begin : end] = A[begin : end] B[g] for each group g, from row Starts[g] to row Starts[g + 1].

    There are as many blocks as tiles can be needed. Each finds its group: tiles are counted group by group, and a block
    without a tile has no work. The last tile of a group may reach into the next group: rows of that are loaded, and
    not stored.
    """
    block_M, block_N, block_K = block
    most = -(-rows // block_M) + groups  # each group may begin a tile of its own

    @tiledsl.kernel(out_idx=-1)
    def gemm_grouped(
        A: T.Tensor((rows, K), T.float16),
        B: T.Tensor((groups, K, N), T.float16),
        Starts: T.Tensor((groups + 1,), T.int32),
        C: T.Tensor((rows, N), T.float16),
    ):
        with T.Kernel(T.ceildiv(N, block_N), most, threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_shared = T.alloc_shared((block_M, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            group = T.alloc_var(T.int32, init=0)
            first = T.alloc_var(T.int32, init=0)  # row where the tile begins
            tiles = T.alloc_var(T.int32, init=0)  # of the groups up to here
            found = T.alloc_var(T.int32, init=0)
            for g in range(groups):
                begin, end = Starts[g], Starts[g + 1]
                own = T.ceildiv(end - begin, block_M)
                if by >= tiles and by < tiles + own:
                    group = g
                    first = begin + (by - tiles) * block_M
                    found = 1
                tiles = tiles + own
            if found > 0:
                T.clear(C_local)
                for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                    T.copy(A[first, k * block_K], A_shared)
                    T.copy(B[group, k * block_K, bx * block_N], B_shared)
                    T.gemm(A_shared, B_shared, C_local)
                end = Starts[group + 1]
                T.copy(C_local, C_shared)
                if first + block_M <= end:
                    T.copy(C_shared, C[first, bx * block_N])
                else:
                    for i, j in T.Parallel(block_M, block_N):
                        if first + i < end and bx * block_N + j < N:
                            C[first + i, bx * block_N + j] = C_shared[i, j]

    return gemm_grouped


def gemm_grouped_persistent(rows, N, K, groups, block=(128, 128, 64), num_stages=4, threads=256, blocks=132):
    """The same on a fixed number of blocks: of the tiles of all groups in a row, each works on every `blocks`-th."""
    block_M, block_N, block_K = block
    columns = -(-N // block_N)

    @tiledsl.kernel(out_idx=-1)
    def gemm_grouped_persistent(
        A: T.Tensor((rows, K), T.float16),
        B: T.Tensor((groups, K, N), T.float16),
        Starts: T.Tensor((groups + 1,), T.int32),
        C: T.Tensor((rows, N), T.float16),
    ):
        with T.Kernel(blocks, threads=threads) as number:
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_shared = T.alloc_shared((block_M, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            before = T.alloc_var(T.int32, init=0)  # tiles of the groups up to here, dealt to the blocks in turn
            for group in range(groups):
                begin, end = Starts[group], Starts[group + 1]
                tiles = T.ceildiv(end - begin, block_M) * columns
                turn = (number + blocks - before % blocks) % blocks  # the first of these tiles that is this block's
                for t in range(T.ceildiv(tiles - turn, blocks)):
                    tile = turn + t * blocks
                    first, bx = begin + tile // columns * block_M, tile % columns
                    T.clear(C_local)
                    for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                        T.copy(A[first, k * block_K], A_shared)
                        T.copy(B[group, k * block_K, bx * block_N], B_shared)
                        T.gemm(A_shared, B_shared, C_local)
                    T.copy(C_local, C_shared)
                    if first + block_M <= end:
                        T.copy(C_shared, C[first, bx * block_N])
                    else:
                        for i, j in T.Parallel(block_M, block_N):
                            if first + i < end and bx * block_N + j < N:
                                C[first + i, bx * block_N + j] = C_shared[i, j]
                before = before + tiles

    return gemm_grouped_persistent


def grouped_reference(A, B, Starts):
    out = np.zeros((A.shape[0], B.shape[2]))
    for g, (begin, end) in enumerate(pairwise(Starts)):
        out[begin:end] = A[begin:end].astype(np.float64) @ B[g].astype(np.float64)
    return {"C": out.astype(np.float16)}


def cases():
    for name, N, K, heights, blocks in (
        ("even", 64, 320, (128, 256), 2),
        ("ragged", 72, 264, (130, 0, 1, 65), 3),
        ("one", 64, 320, (198,), 1),
    ):
        for kernel, options in ((gemm_grouped, {}), (gemm_grouped_persistent, {"blocks": blocks})):
            starts = np.cumsum((0, *heights)).astype(np.int32)

            def inputs(draw, N=N, K=K, starts=starts):
                return {"A": draw(starts[-1], K), "B": draw(len(starts) - 1, K, N), "Starts": starts}

            yield Case(
                f"{kernel.__name__.replace('_', '-')}-{name}",
                kernel(sum(heights), N, K, len(heights), (128, 64, 64), num_stages=2, **options),
                inputs,
                grouped_reference,
                targets=("sm_90a",),
            )
