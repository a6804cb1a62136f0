"""Promotion, casts, selection, bits and mathematics."""

import tiledsl.language as T


def kernel(
    X: T.Tensor((64,), "float16"),
    I: T.Tensor((64,), "int8"),
    F: T.Tensor((6, 64), "float32"),
    J: T.Tensor((6, 64), "int32"),
):
    with T.Kernel(1, threads=64):
        for i in T.Parallel(64):
            x, n = X[i], I[i]
            F[0, i] = x * 2 + 0.5
            F[1, i] = x + n
            F[2, i] = T.if_then_else(x > 0, x, -x) / 4.0
            F[3, i] = T.clamp(x, -2, 2) ** 2
            F[4, i] = T.exp2(T.cast(n, T.float32)) if n < 4 else T.infinity("float32")
            F[5, i] = T.float32(x) - T.floor(x)
            J[0, i] = n + i
            J[1, i] = (n & 7) << 2 | 1
            J[2, i] = T.truncdiv(T.int32(n), 3) * 100 + n // 3
            J[3, i] = T.min(n, i, 5) - T.abs(n)
            J[4, i] = T.reinterpret("int32", F[0, i])
            J[5, i] = T.popcount(n.astype("int32")) + (0 < n < 10)
