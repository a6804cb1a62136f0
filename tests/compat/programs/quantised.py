"""Packed numbers: bit operations, casts, memory of single threads, vector loops."""

import numpy as np

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T


@tilelang.jit(out_idx=[-1])
def unpacked(N, K, threads=64):
    """int4 with an offset of 8, two in a byte, times a scale a row, as float16."""

    @T.prim_func
    def main(B: T.Tensor((N, K // 2), "uint8"), S: T.Tensor((N,), "float16"), C: T.Tensor((N, K), "float16")):
        with T.Kernel(N, T.ceildiv(K, threads * 8), threads=threads) as (bx, by):
            tx = T.get_thread_binding(0)
            packed = T.alloc_local((4,), "uint8")
            values = T.alloc_local((8,), "float16")
            start = by * threads * 8 + tx * 8
            if start < K:
                for v in T.vectorized(4):
                    packed[v] = B[bx, start // 2 + v]
                for v in T.serial(8):
                    number = (packed[v // 2] >> T.cast(v % 2 * 4, "uint8")) & 15
                    values[v] = (number.astype("int32") - 8).astype("float16") * S[bx]
                for v in T.vectorized(8):
                    C[bx, start + v] = values[v]

    return main


def main():
    rng = np.random.default_rng(0)
    packed = rng.integers(0, 256, (6, 120)).astype(np.uint8)
    scales = rng.standard_normal(6).astype(np.float16)
    numbers = np.stack([packed & 15, packed >> 4], -1).reshape(6, 240).astype(np.int32) - 8
    found = unpacked(6, 240)(packed, scales)
    np.testing.assert_array_equal(found, (numbers.astype(np.float16) * scales[:, None]))
