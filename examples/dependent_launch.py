"""Two launches in one kernel, of which the second begins while the first ends (programmatic dependent launch)."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case


def normalised_product(M, N, K, block=(64, 64, 64), num_stages=3, threads=128, eps=1e-3):
    """C = (X / rms(X)) @ W + bias: the first launch normalises rows, the second multiplies.

    Blocks of the second that find room on the GPU read their part of the bias at once, which no launch writes. Then
    they wait for the first launch to be over.
    """
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def normalised_product(
        X: T.Tensor((M, K), T.float16),
        W: T.Tensor((K, N), T.float16),
        Bias: T.Tensor((N,), T.float16),
        C: T.Tensor((M, N), T.float16),
    ):
        Y = T.alloc_global((M, K), T.float16)
        with T.Kernel(T.ceildiv(M, 16), threads=threads) as by:
            rows = T.alloc_fragment((16, K), T.float32)
            squares = T.alloc_fragment((16, K), T.float32)
            total = T.alloc_fragment((16,), T.float32)
            T.copy(X[by * 16, 0], rows)
            T.pdl_trigger()
            for i, j in T.Parallel(16, K):
                squares[i, j] = rows[i, j] * rows[i, j]
            T.reduce_sum(squares, total, dim=1)
            for i, j in T.Parallel(16, K):
                rows[i, j] = rows[i, j] / T.sqrt(total[i] / K + eps)
            T.copy(rows, Y[by * 16, 0])
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            Y_shared = T.alloc_shared((block_M, block_K), T.float16)
            W_shared = T.alloc_shared((block_K, block_N), T.float16)
            bias = T.alloc_fragment((block_N,), T.float32)
            out = T.alloc_fragment((block_M, block_N), T.float32)
            T.copy(Bias[bx * block_N], bias)
            T.pdl_sync()
            T.clear(out)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(Y[by * block_M, k * block_K], Y_shared)
                T.copy(W[k * block_K, bx * block_N], W_shared)
                T.gemm(Y_shared, W_shared, out)
            for i, j in T.Parallel(block_M, block_N):
                out[i, j] += bias[j]
            T.copy(out, C[by * block_M, bx * block_N])

    return normalised_product


def reference(X, W, Bias, eps=1e-3):
    X = X.astype(np.float64)
    Y = (X / np.sqrt((X * X).mean(1, keepdims=True) + eps)).astype(np.float16)
    return {"C": (Y.astype(np.float64) @ W.astype(np.float64) + Bias.astype(np.float64)).astype(np.float16)}


def cases():
    for M, N, K in ((128, 128, 320), (80, 72, 264)):
        yield Case(
            f"dependent-launch-{M}x{N}x{K}",
            normalised_product(M, N, K),
            lambda draw, M=M, N=N, K=K: {"X": draw(M, K), "W": draw(K, N), "Bias": draw(N)},
            reference,
            exact=False,
            atol=3e-2,
        )
