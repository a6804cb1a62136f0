"""An eager kernel: sizes from the tensors of the call, the result from T.empty."""

import numpy as np

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T


@tilelang.jit
def scaled_sum(A, B, factor: float = 1.0, block: int = 64):
    M, N = T.const("M N")
    A: T.Tensor[[M, N], T.float32]
    B: T.Tensor[[M, N], T.float32]
    C = T.empty([M], T.float32)
    with T.Kernel(T.ceildiv(M, 8), threads=64) as bx:
        tile = T.alloc_fragment((8, N), T.float32)
        total = T.alloc_fragment((8,), T.float32)
        for i, j in T.Parallel(8, N):
            tile[i, j] = (A[bx * 8 + i, j] + B[bx * 8 + i, j]) * factor
        T.reduce_sum(tile, total, dim=1)
        T.copy(total, C[bx * 8])
    return C


def main():
    a = np.arange(20 * 32, dtype=np.float32).reshape(20, 32) % 7
    np.testing.assert_array_equal(scaled_sum(a, a), (a + a).sum(1))
    np.testing.assert_array_equal(scaled_sum(a, a, factor=0.5), a.sum(1))
    kernel = scaled_sum.compile(M=20, N=32, factor=3.0)
    np.testing.assert_array_equal(kernel(a, a), 3 * (a + a).sum(1))
    assert "scaled_sum" in scaled_sum.get_kernel_source(a, a)
