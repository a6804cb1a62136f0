"""Sizes and scalars that are known in a call; tilelang.compile; results in place of out_idx."""

import numpy as np

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T


def axpy(block, threads):
    m, n = T.dynamic("m"), T.symbolic("n")

    @T.prim_func
    def main(X: T.Tensor((m, n), "float32"), Y: T.Tensor((m, n), "float32"), a: T.float32, rows: T.int32):
        with T.Kernel(T.ceildiv(n, block), m, threads=threads) as (bx, by):
            for i in T.Parallel(block):
                if by < rows:
                    Y[by, bx * block + i] = X[by, bx * block + i] * a + Y[by, bx * block + i]

    return main


def main():
    kernel = tilelang.compile(axpy(64, 32), target="auto")
    for shape in ((3, 100), (5, 7)):
        x = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
        y = np.ones(shape, np.float32)
        assert kernel(x, y, 0.5, 2) is None
        expected = np.ones(shape, np.float32)
        expected[:2] += x[:2] / 2
        np.testing.assert_array_equal(y, expected)

    def written(x, y, a, rows):
        y[:rows] += a * x[:rows]

    inputs = [x, y, 2.0, 3]
    kernel.get_profiler().assert_allclose(written, input_tensors=inputs)
    kernel.get_profiler().assert_allclose(lambda x, y, a, rows: y + a * x * (np.arange(5) < rows)[:, None], inputs)
    np.testing.assert_array_equal(y, expected), "the inputs of a comparison stay as they are"
