"""The k largest of each row with their columns, as routers of mixtures of experts choose them."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main


def topk(M, N, k, blk_m=4, threads=128):
    """Values and indices of the k largest of each row in falling order; of equal ones the first counts as larger.

    NaN counts as the largest. Of what is left the largest is found, then the first column that has it, k times. With
    a row for each warp rows are reduced side by side, however few there are.
    """

    @tiledsl.kernel(out_idx=[1, 2])
    def topk(
        X: T.Tensor((M, N), T.float32),
        values: T.Tensor((M, k), T.float32),
        indices: T.Tensor((M, k), T.int32),
    ):
        with T.Kernel(T.ceildiv(M, blk_m), threads=threads) as bx:
            x = T.alloc_fragment((blk_m, N), T.float32)
            column = T.alloc_fragment((blk_m, N), T.int32)  # N where the element was chosen: -inf may be one
            candidate = T.alloc_fragment((blk_m, N), T.int32)
            greatest = T.alloc_fragment((blk_m,), T.float32)
            chosen = T.alloc_fragment((blk_m,), T.int32)
            T.copy(X[bx * blk_m, 0], x)
            for i, j in T.Parallel(blk_m, N):
                column[i, j] = j
            for n in range(k):
                T.reduce_max(x, greatest, dim=1)
                for i, j in T.Parallel(blk_m, N):
                    candidate[i, j] = T.if_then_else(x[i, j] == greatest[i] or T.isnan(x[i, j]), column[i, j], N)
                T.reduce_min(candidate, chosen, dim=1)
                for i, j in T.Parallel(blk_m, N):
                    if column[i, j] == chosen[i]:
                        x[i, j] = -T.infinity(T.float32)
                        column[i, j] = N
                for i in T.Parallel(blk_m):
                    if bx * blk_m + i < M:
                        values[bx * blk_m + i, n] = greatest[i]
                        indices[bx * blk_m + i, n] = chosen[i]

    return topk


def reference(X, k):
    key = np.where(np.isnan(X), -np.inf, -X.astype(np.float64))
    order = np.lexsort((~np.isnan(X), key), axis=1)[:, :k]
    return {"values": np.take_along_axis(X, order, axis=1), "indices": order.astype(np.int32)}


def rows():
    def case(M, N, k, blk_m=4):
        def inputs(draw):
            X = draw(M, N, dtype=np.float32)
            X[::3, ::5] = -np.inf
            X[1::3, 2:] = -np.inf  # of a whole row but two
            X[1::7, N // 2] = np.nan
            X[2::7, N // 3] = np.inf
            return {"X": X}

        return Case(
            f"example-topk-{k}-of-{M}x{N}-by-{blk_m}",
            topk(M, N, k, blk_m),
            inputs,
            lambda X: reference(X, k),
            rtol=0,
            atol=0,
        )

    yield Row(
        "example_topk",
        "values and indices of the 6 largest of each row, float32 (320, 128)",
        timed=(case(320, 128, 6),),
        reduced=(case(64, 128, 6, 64), case(21, 128, 6), case(21, 60, 4, 8)),
        tilelang=(0.0110,),
    )


if __name__ == "__main__":
    main(rows())
