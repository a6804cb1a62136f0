"""Convolutions of images N, H, W, C as products: the matrix of the images ("im2col") exists a tile at a time only."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main


def convolution(
    N, C, H, W, F, kernel=3, stride=1, dilation=1, pad=1, block=(64, 128, 32), num_stages=3, threads=256,
    dtype=T.float16,
):  # fmt: skip
    """Out[n, y, x] = the sum over ky, kx of Data[n, y * stride + ky * dilation - pad, x ...] @ Filter[ky, kx].

    Rows of the product are the pixels of all images; `block` are the rows, features and depth of a block's tiles.
    """
    block_M, block_N, block_K = block
    OH, OW = ((side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for side in (H, W))
    pixels, depth = N * OH * OW, kernel * kernel * C

    @tiledsl.kernel(out_idx=-1)
    def convolution(
        Data: T.Tensor((N, H, W, C), dtype),
        Filter: T.Tensor((kernel, kernel, C, F), dtype),
        Out: T.Tensor((N, OH, OW, F), dtype),
    ):
        with T.Kernel(T.ceildiv(F, block_N), T.ceildiv(pixels, block_M), threads=threads) as (bx, by):
            data_shared = T.alloc_shared((block_M, block_K), dtype)
            filter_shared = T.alloc_shared((block_K, block_N), dtype)
            out_shared = T.alloc_shared((block_M, block_N), dtype)
            out_local = T.alloc_fragment((block_M, block_N), T.float32)
            filter_flat = T.reshape(Filter, (depth, F))
            out_flat = T.reshape(Out, (pixels, F))
            T.clear(out_local)
            for k in T.Pipelined(T.ceildiv(depth, block_K), num_stages=num_stages):
                T.im2col(Data, data_shared, by, k, kernel, stride, dilation, pad)
                T.copy(filter_flat[k * block_K, bx * block_N], filter_shared)
                T.gemm(data_shared, filter_shared, out_local)
            T.copy(out_local, out_shared)
            T.copy(out_shared, out_flat[by * block_M, bx * block_N])

    return convolution


def reference(Data, Filter, stride, dilation, pad):
    """A product for each tap, summed in float64 and rounded once."""
    kernel = Filter.shape[0]
    padded = np.pad(Data.astype(np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    OH, OW = ((side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for side in Data.shape[1:3])
    out = np.zeros((Data.shape[0], OH, OW, Filter.shape[3]))
    for ky, kx in np.ndindex(kernel, kernel):
        y, x = ky * dilation, kx * dilation
        rows, columns = slice(y, y + OH * stride, stride), slice(x, x + OW * stride, stride)
        out += padded[:, rows, columns][:, :OH, :OW] @ Filter[ky, kx].astype(np.float64)
    return out.astype(Data.dtype)


def convolution_case(name, N, C, H, W, F, kernel=3, stride=1, dilation=1, pad=1, **options):
    return Case(
        name,
        convolution(N, C, H, W, F, kernel, stride, dilation, pad, **options),
        lambda draw: {"Data": draw(N, H, W, C), "Filter": draw(kernel, kernel, C, F)},
        lambda Data, Filter: {"Out": reference(Data, Filter, stride, dilation, pad)},
    )


def cases():
    small = {"block": (64, 64, 32), "threads": 128}
    yield convolution_case("convolution-3x3", 2, 32, 9, 8, 64, **small)
    yield convolution_case("convolution-stride-2", 2, 32, 11, 10, 64, stride=2, **small)
    yield convolution_case("convolution-dilation-2", 1, 64, 9, 8, 64, dilation=2, pad=2, **small)
    yield convolution_case("convolution-1x1", 3, 160, 7, 5, 64, kernel=1, pad=0, **small)
    # A row of a tile is of four taps.
    yield convolution_case("convolution-few-channels", 1, 8, 9, 8, 64, num_stages=2, **small)
    yield convolution_case("convolution-64x128x32-8-warps", 1, 32, 12, 12, 128, block=(64, 128, 32))


def rows():
    """The second is the first with tiles that suit sm_90a and 128 features."""
    full = (128, 128, 64, 64, 128)
    small = {"block": (64, 128, 32), "num_stages": 3, "threads": 256}
    large = {"block": (256, 128, 64), "num_stages": 3, "threads": 256}
    yield Row(
        "example_convolution",
        "3 x 3, padding 1: 128 float16 images of 64 x 64 x 128 to 128 features; tiles 64 x 128 x 32",
        timed=(convolution_case("example-convolution-full", *full, **small),),
        reduced=(convolution_case("example-convolution-7x9", 2, 32, 7, 9, 136, **small),),
        tilelang=(1.3175,),
    )
    yield Row(
        "example_convolution_autotune",
        "the same; tiles 256 x 128 x 64",
        timed=(convolution_case("example-convolution-autotune-full", *full, **large),),
        reduced=(convolution_case("example-convolution-autotune-12x12", 1, 64, 12, 12, 72, **large),),
        tilelang=(0.9940,),
    )


if __name__ == "__main__":
    main(rows())
