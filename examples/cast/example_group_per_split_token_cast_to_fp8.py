"""The cast to fp8 of tokens that belong to groups of different sizes: each group is padded to the same length."""

import ml_dtypes
import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

GROUP = 128  # columns that share a scale
GREATEST = 448.0  # of e4m3
SMALLEST = 1e-4  # magnitude that a scale is made for


def group_cast(M, N, batches, M_max, blk_m=4, threads=128):
    """Y[b] = the rows of batch b in e4m3, each 128 columns over their scale; what is beyond its rows is 0.

    The batches are in X one after the other, `sizes[b]` rows each, M in all.
    """
    groups = -(-N // GROUP)

    @tiledsl.kernel(out_idx=[2, 3])
    def group_cast(
        X: T.Tensor((M, N), T.bfloat16),
        sizes: T.Tensor((batches,), T.int32),
        Y: T.Tensor((batches, M_max, N), T.float8_e4m3),
        Scale: T.Tensor((batches, M_max, groups), T.float32),
    ):
        with T.Kernel(T.ceildiv(M_max, blk_m), groups, batches, threads=threads) as (bm, bg, bb):
            x = T.alloc_fragment((blk_m, GROUP), T.float32)
            quantised = T.alloc_fragment((blk_m, GROUP), T.float8_e4m3)
            greatest = T.alloc_fragment((blk_m,), T.float32)
            scale = T.alloc_fragment((blk_m,), T.float32)
            first = T.alloc_var(T.int32, init=0)
            for b in range(bb):
                first = first + sizes[b]
            rows = sizes[bb] - bm * blk_m
            for i, j in T.Parallel(blk_m, GROUP):
                x[i, j] = T.if_then_else(i < rows, X[first + bm * blk_m + i, bg * GROUP + j], T.bfloat16(0))
            T.reduce_absmax(x, greatest, dim=1)
            for i in T.Parallel(blk_m):
                greatest[i] = T.max(greatest[i], SMALLEST)
                scale[i] = T.if_then_else(i < rows, greatest[i] / GREATEST, 0.0)
                greatest[i] = GREATEST / greatest[i]
            for i, j in T.Parallel(blk_m, GROUP):
                quantised[i, j] = T.cast(x[i, j] * greatest[i], T.float8_e4m3, saturate=True)
            T.copy(quantised, Y[bb, bm * blk_m, bg * GROUP])
            for i in T.Parallel(blk_m):
                if bm * blk_m + i < M_max:
                    Scale[bb, bm * blk_m + i, bg] = scale[i]

    return group_cast


def reference(X, sizes, M_max):
    """In float32: the result depends on each rounding, of which there is one in each operation."""
    N = X.shape[1]
    groups = -(-N // GROUP)
    Y = np.zeros((len(sizes), M_max, N), ml_dtypes.float8_e4m3fn)
    Scale = np.zeros((len(sizes), M_max, groups), np.float32)
    ends = np.cumsum(sizes)
    for b, (size, end) in enumerate(zip(sizes, ends, strict=True)):
        x = np.zeros((size, groups * GROUP), np.float32)
        x[:, :N] = X[end - size : end]
        x = x.reshape(size, groups, GROUP)
        greatest = np.maximum(np.abs(x).max(axis=2, initial=0), np.float32(SMALLEST))
        scaled = x * (np.float32(GREATEST) / greatest)[:, :, None]
        Y[b, :size] = np.clip(scaled, -GREATEST, GREATEST).reshape(size, groups * GROUP)[:, :N].astype(Y.dtype)
        Scale[b, :size] = greatest / np.float32(GREATEST)
    return {"Y": Y, "Scale": Scale}


def rows():
    def case(N, sizes, M_max):
        M = sum(sizes)
        return Case(
            f"example-group-cast-{N}-of-{'-'.join(map(str, sizes))}",
            group_cast(M, N, len(sizes), M_max),
            lambda draw: {"X": draw(M, N, dtype=ml_dtypes.bfloat16), "sizes": np.array(sizes, np.int32)},
            lambda X, sizes: reference(X, sizes, M_max),
            rtol=0,
            atol=0,
        )

    yield Row(
        "example_group_per_split_token_cast_to_fp8",
        "bfloat16 (1024, 1024) in groups of 128 and 896 rows to e4m3 (2, 896, 1024), scales as above",
        timed=(case(1024, (128, 896), 896),),
        reduced=(case(256, (10, 30), 32), case(200, (5, 0, 13), 14)),
        tilelang=(0.0103,),
    )


if __name__ == "__main__":
    main(rows())
