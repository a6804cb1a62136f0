"""Casts to fp8 with a scale for each token and each group of 128 columns, as products of fp8 matrices want them."""

import ml_dtypes
import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

GROUP = 128  # columns that share a scale
GREATEST = 448.0  # of e4m3
SMALLEST = 1e-4  # magnitude that a scale is made for


def per_token_cast(M, N, blk_m=8, threads=128):
    """Y = X / scale in e4m3 and the scales, so that the largest element of each group becomes 448."""
    groups = -(-N // GROUP)

    @tiledsl.kernel(out_idx=[1, 2])
    def per_token_cast(
        X: T.Tensor((M, N), T.float32),
        Y: T.Tensor((M, N), T.float8_e4m3),
        Scale: T.Tensor((M, groups), T.float32),
    ):
        with T.Kernel(T.ceildiv(M, blk_m), groups, threads=threads) as (bm, bg):
            x = T.alloc_fragment((blk_m, GROUP), T.float32)
            quantised = T.alloc_fragment((blk_m, GROUP), T.float8_e4m3)
            greatest = T.alloc_fragment((blk_m,), T.float32)
            scale = T.alloc_fragment((blk_m,), T.float32)
            T.copy(X[bm * blk_m, bg * GROUP], x)
            T.reduce_absmax(x, greatest, dim=1)
            for i in T.Parallel(blk_m):
                greatest[i] = T.max(greatest[i], SMALLEST)
                scale[i] = greatest[i] / GREATEST
                greatest[i] = GREATEST / greatest[i]
            for i, j in T.Parallel(blk_m, GROUP):
                quantised[i, j] = T.cast(x[i, j] * greatest[i], T.float8_e4m3, saturate=True)
            T.copy(quantised, Y[bm * blk_m, bg * GROUP])
            for i in T.Parallel(blk_m):
                if bm * blk_m + i < M:
                    Scale[bm * blk_m + i, bg] = scale[i]

    return per_token_cast


def reference(X):
    """In float32: the result depends on each rounding, of which there is one in each operation."""
    M, N = X.shape
    groups = -(-N // GROUP)
    x = np.zeros((M, groups * GROUP), np.float32)
    x[:, :N] = X
    x = x.reshape(M, groups, GROUP)
    greatest = np.maximum(np.abs(x).max(axis=2), np.float32(SMALLEST))
    scaled = x * (np.float32(GREATEST) / greatest)[:, :, None]
    Y = np.clip(scaled, -GREATEST, GREATEST).reshape(M, -1)[:, :N].astype(ml_dtypes.float8_e4m3fn)
    return {"Y": Y, "Scale": greatest / np.float32(GREATEST)}


def rows():
    def case(M, N):
        return Case(
            f"example-per-token-cast-{M}x{N}",
            per_token_cast(M, N),
            lambda draw: {"X": draw(M, N, dtype=np.float32) * np.float32(3)},
            reference,
            rtol=0,
            atol=0,
        )

    yield Row(
        "example_per_token_cast_to_fp8",
        "float32 (2048, 512) to e4m3 with a scale for each row of 128 columns",
        timed=(case(2048, 512),),
        reduced=(case(64, 256), case(37, 200)),
        tilelang=(0.0075,),
    )


if __name__ == "__main__":
    main(rows())
