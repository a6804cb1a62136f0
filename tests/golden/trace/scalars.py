import numpy as np


def inputs(rng):
    return {
        "X": (rng.integers(-32, 32, 64) / 8).astype(np.float16),
        "I": rng.integers(-9, 9, 64).astype(np.int8),
        "F": np.zeros((6, 64), np.float32),
        "J": np.zeros((6, 64), np.int32),
    }


def reference(X, I, F, J):
    x, n, i = X.astype(np.float32), I.astype(np.int32), np.arange(64)
    F = np.stack(
        [x * 2 + 0.5, x + n, abs(x) / 4, np.clip(x, -2, 2) ** 2, np.where(n < 4, 2.0**n, np.inf), x - np.floor(x)]
    )
    ones = np.array([bin(int(v) & 0xFFFFFFFF).count("1") for v in n])
    bits = (x * 2 + 0.5).astype(np.float32).view(np.int32)
    J = [n + i, ((n & 7) << 2) | 1, np.trunc(n / 3) * 100 + n // 3, np.minimum(np.minimum(n, i), 5) - abs(n), bits]
    return {"F": F.astype(np.float32), "J": np.stack([*J, ones + ((n > 0) & (n < 10))]).astype(np.int32)}


# ruff: noqa
# expect:
# kernel kernel(X: global float16[64], I: global int8[64], F: global float32[6, 64], J: global int32[6, 64]) {
#   launch kernel(bx in 1) threads(thread in 64) {
#     parallel i in 64 {
#       let x: float16 = X[i]
#       let n: int8 = I[i]
#       F[0, i] = cast<float32>(x * 2.0 + 0.5)
#       F[1, i] = cast<float32>(x + cast<float16>(n))
#       F[2, i] = cast<float32>(select(x > 0.0, x, -x) / 4.0)
#       F[3, i] = cast<float32>(min(max(x, -2.0), 2.0) * min(max(x, -2.0), 2.0))
#       F[4, i] = select(n < 4, exp2(cast<float32>(n)), float32(inf))
#       F[5, i] = cast<float32>(x) - cast<float32>(floor(x))
#       J[0, i] = cast<int32>(cast<index>(n) + i)
#       J[1, i] = cast<int32>((n & 7) << 2 | 1)
#       J[2, i] = div(cast<int32>(n), 3) * 100 + cast<int32>(n // 3)
#       J[3, i] = cast<int32>(min(min(cast<index>(n), i), 5) - cast<index>(abs(n)))
#       J[4, i] = bits<int32>(F[0, i])
#       J[5, i] = popcount(cast<int32>(n)) + cast<int32>(n > 0 and n < 10)
#     }
#   }
# }
