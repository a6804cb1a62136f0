"""Row-wise kernels: softmax, RMSNorm, LayerNorm."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

LOG2E = 1.4426950408889634


def softmax(M, N, block_M=8, threads=128):
    """Softmax of each row of a (M, N) matrix; a row fits the block's registers."""
    width = 1 << (N - 1).bit_length()

    @tiledsl.kernel(out_idx=-1)
    def softmax(X: T.Tensor((M, N), T.float32), Y: T.Tensor((M, N), T.float32)):
        with T.Kernel(T.ceildiv(M, block_M), threads=threads) as bx:
            x = T.alloc_fragment((block_M, width), T.float32)
            greatest = T.alloc_fragment((block_M,), T.float32)
            total = T.alloc_fragment((block_M,), T.float32)
            for i, j in T.Parallel(block_M, width):
                x[i, j] = T.if_then_else(j < N, X[bx * block_M + i, j], -T.infinity(T.float32))
            T.reduce_max(x, greatest, dim=1)
            for i, j in T.Parallel(block_M, width):
                x[i, j] = T.exp2((x[i, j] - greatest[i]) * LOG2E)
            T.reduce_sum(x, total, dim=1)
            for i, j in T.Parallel(block_M, width):
                x[i, j] = x[i, j] / total[i]
            for i, j in T.Parallel(block_M, width):
                if j < N:
                    Y[bx * block_M + i, j] = x[i, j]

    return softmax


def rms_norm(M, N, block_M=8, threads=128, eps=1e-6):
    """Y = X / sqrt(mean(X^2) + eps) * W, row by row."""

    @tiledsl.kernel(out_idx=-1)
    def rms_norm(X: T.Tensor((M, N), T.float16), W: T.Tensor((N,), T.float16), Y: T.Tensor((M, N), T.float16)):
        with T.Kernel(T.ceildiv(M, block_M), threads=threads) as bx:
            x = T.alloc_fragment((block_M, N), T.float32)
            squares = T.alloc_fragment((block_M, N), T.float32)
            scale = T.alloc_fragment((block_M,), T.float32)
            T.copy(X[bx * block_M, 0], x)
            for i, j in T.Parallel(block_M, N):
                squares[i, j] = x[i, j] * x[i, j]
            T.reduce_sum(squares, scale, dim=1)
            for i in T.Parallel(block_M):
                scale[i] = T.rsqrt(scale[i] / N + eps)
            for i, j in T.Parallel(block_M, N):
                x[i, j] = x[i, j] * scale[i] * T.cast(W[j], T.float32)
            T.copy(x, Y[bx * block_M, 0])

    return rms_norm


def layer_norm(M, N, block_M=4, threads=128, eps=1e-5):
    """Y = (X - mean) / sqrt(var + eps) * W + B, row by row, the variance of the centred row."""

    @tiledsl.kernel(out_idx=-1)
    def layer_norm(
        X: T.Tensor((M, N), T.float32),
        W: T.Tensor((N,), T.float32),
        B: T.Tensor((N,), T.float32),
        Y: T.Tensor((M, N), T.float32),
    ):
        with T.Kernel(T.ceildiv(M, block_M), threads=threads) as bx:
            x = T.alloc_fragment((block_M, N), T.float32)
            squares = T.alloc_fragment((block_M, N), T.float32)
            mean = T.alloc_fragment((block_M,), T.float32)
            variance = T.alloc_fragment((block_M,), T.float32)
            T.copy(X[bx * block_M, 0], x)
            T.reduce_sum(x, mean, dim=1)
            for i, j in T.Parallel(block_M, N):
                x[i, j] = x[i, j] - mean[i] / N
            for i, j in T.Parallel(block_M, N):
                squares[i, j] = x[i, j] * x[i, j]
            T.reduce_sum(squares, variance, dim=1)
            for i, j in T.Parallel(block_M, N):
                x[i, j] = x[i, j] * T.rsqrt(variance[i] / N + eps) * W[j] + B[j]
            T.copy(x, Y[bx * block_M, 0])

    return layer_norm


def softmax_reference(X):
    e = np.exp(X.astype(np.float64) - X.max(axis=1, keepdims=True))
    return {"Y": (e / e.sum(axis=1, keepdims=True)).astype(np.float32)}


def rms_norm_reference(X, W, eps=1e-6):
    x = X.astype(np.float64)
    return {"Y": (x / np.sqrt((x * x).mean(axis=1, keepdims=True) + eps) * W).astype(np.float16)}


def layer_norm_reference(X, W, B, eps=1e-5):
    x = X.astype(np.float64)
    centred = x - x.mean(axis=1, keepdims=True)
    return {"Y": (centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + eps) * W + B).astype(np.float32)}


def cases():
    for M, N in ((16, 128), (13, 100)):
        yield Case(
            f"softmax-{M}x{N}",
            softmax(M, N),
            lambda draw, M=M, N=N: {"X": draw(M, N, dtype=np.float32)},
            softmax_reference,
            exact=False,
            rtol=1e-5,
            atol=1e-6,
        )
    for M, N in ((16, 256), (11, 96)):
        yield Case(
            f"rms-norm-{M}x{N}",
            rms_norm(M, N),
            lambda draw, M=M, N=N: {"X": draw(M, N), "W": draw(N)},
            rms_norm_reference,
            exact=False,
            rtol=2e-3,
            atol=2e-3,
        )
    for M, N in ((8, 256), (7, 96)):
        yield Case(
            f"layer-norm-{M}x{N}",
            layer_norm(M, N),
            lambda draw, M=M, N=N: {
                n: draw(*s, dtype=np.float32) for n, s in (("X", (M, N)), ("W", (N,)), ("B", (N,)))
            },
            layer_norm_reference,
            exact=False,
            rtol=1e-4,
            atol=1e-5,
        )
