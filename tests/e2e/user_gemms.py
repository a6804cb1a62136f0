"""Matrix products as users write them: fragments as operands, slices, buffers dealt by hand, dequantisation."""

import numpy as np

import tiledsl
import tiledsl.language as T

f16 = np.float16


def mm(A, B):
    return A.astype(np.float64) @ B.astype(np.float64)


def a_in_registers():

    @tiledsl.kernel(out_idx=-1)
    def k(A: T.Tensor((64, 64), T.float16), B: T.Tensor((64, 64), T.float16), C: T.Tensor((64, 64), T.float32)):
        with T.Kernel(1, threads=128):
            Af = T.alloc_fragment((64, 64), T.float16)
            Bs = T.alloc_shared((64, 64), T.float16)
            c = T.alloc_fragment((64, 64), T.float32)
            T.copy(A, Af)
            T.copy(B, Bs)
            T.gemm(Af, Bs, c, clear_accum=True)
            T.copy(c, C)

    return (k, lambda d: {"A": d(64, 64), "B": d(64, 64)}, lambda A, B: {"C": mm(A, B).astype(np.float32)})


def b_in_registers():

    @tiledsl.kernel(out_idx=-1)
    def k(A: T.Tensor((64, 64), T.float16), B: T.Tensor((64, 64), T.float16), C: T.Tensor((64, 64), T.float32)):
        with T.Kernel(1, threads=128):
            As = T.alloc_shared((64, 64), T.float16)
            Bf = T.alloc_fragment((64, 64), T.float16)
            c = T.alloc_fragment((64, 64), T.float32)
            T.copy(A, As)
            T.copy(B, Bf)
            T.gemm(As, Bf, c, clear_accum=True)
            T.copy(c, C)

    return (k, lambda d: {"A": d(64, 64), "B": d(64, 64)}, lambda A, B: {"C": mm(A, B).astype(np.float32)})


def a_in_registers_transposed():

    @tiledsl.kernel(out_idx=-1)
    def k(A: T.Tensor((64, 64), T.float16), B: T.Tensor((64, 64), T.float16), C: T.Tensor((64, 64), T.float32)):
        with T.Kernel(1, threads=128):
            As = T.alloc_fragment((64, 64), T.float16)
            Bf = T.alloc_shared((64, 64), T.float16)
            c = T.alloc_fragment((64, 64), T.float32)
            T.copy(A, As)
            T.copy(B, Bf)
            T.gemm(As, Bf, c, clear_accum=True, transpose_A=True)
            T.copy(c, C)

    return (k, lambda d: {"A": d(64, 64), "B": d(64, 64)}, lambda A, B: {"C": mm(A.T, B).astype(np.float32)})


def manual_double_buffer():

    @tiledsl.kernel(out_idx=-1)
    def k(A: T.Tensor((64, 128), T.float16), B: T.Tensor((128, 64), T.float16), C: T.Tensor((64, 64), T.float32)):
        with T.Kernel(1, threads=128):
            As = T.alloc_shared((2, 64, 32), T.float16)
            Bs = T.alloc_shared((2, 32, 64), T.float16)
            c = T.alloc_fragment((64, 64), T.float32)
            T.clear(c)
            T.copy(A[0:64, 0:32], As[0, :, :])
            T.copy(B[0:32, 0:64], Bs[0, :, :])
            for kk in T.serial(4):
                if kk + 1 < 4:
                    T.copy(A[0:64, (kk + 1) * 32 : (kk + 2) * 32], As[(kk + 1) % 2, :, :])
                    T.copy(B[(kk + 1) * 32 : (kk + 2) * 32, :], Bs[(kk + 1) % 2, :, :])
                T.gemm(As[kk % 2, :, :], Bs[kk % 2, :, :], c)
            T.copy(c, C)

    return (k, lambda d: {"A": d(64, 128), "B": d(128, 64)}, lambda A, B: {"C": mm(A, B).astype(np.float32)})


def parts_along_k():

    @tiledsl.kernel(out_idx=-1)
    def k(A: T.Tensor((64, 64), T.float16), B: T.Tensor((64, 64), T.float16), C: T.Tensor((64, 64), T.float32)):
        with T.Kernel(1, threads=128):
            As = T.alloc_shared((64, 64), T.float16)
            Bs = T.alloc_shared((64, 64), T.float16)
            c = T.alloc_fragment((64, 64), T.float32)
            T.copy(A, As)
            T.copy(B, Bs)
            T.clear(c)
            for i in T.serial(4):
                T.gemm(As[:, i * 16 : (i + 1) * 16], Bs[i * 16 : (i + 1) * 16, :], c)
            T.copy(c, C)

    return (k, lambda d: {"A": d(64, 64), "B": d(64, 64)}, lambda A, B: {"C": mm(A, B).astype(np.float32)})


def chained_through_shared():

    @tiledsl.kernel(out_idx=-1)
    def k(
        A: T.Tensor((64, 64), T.float16),
        B: T.Tensor((64, 64), T.float16),
        D: T.Tensor((64, 64), T.float16),
        C: T.Tensor((64, 64), T.float32),
    ):
        with T.Kernel(1, threads=128):
            As = T.alloc_shared((64, 64), T.float16)
            Bs = T.alloc_shared((64, 64), T.float16)
            Ds = T.alloc_shared((64, 64), T.float16)
            c = T.alloc_fragment((64, 64), T.float32)
            p = T.alloc_shared((64, 64), T.float16)
            o = T.alloc_fragment((64, 64), T.float32)
            T.copy(A, As)
            T.copy(B, Bs)
            T.copy(D, Ds)
            T.gemm(As, Bs, c, clear_accum=True)
            T.copy(c, p)
            T.gemm(p, Ds, o, transpose_A=True, clear_accum=True)
            T.copy(o, C)

    return (
        k,
        lambda d: {"A": d(64, 64), "B": d(64, 64), "D": d(64, 64)},
        lambda A, B, D: {"C": mm(mm(A, B).astype(f16).T, D).astype(np.float32)},
    )


def loaded_part():

    @tiledsl.kernel(out_idx=-1)
    def k(
        A: T.Tensor((64, 64), T.float16),
        B: T.Tensor((64, 64), T.float16),
        I: T.Tensor((2,), T.int32),
        C: T.Tensor((16, 64), T.float32),
    ):
        with T.Kernel(1, threads=64):
            As = T.alloc_shared((64, 64), T.float16)
            Bs = T.alloc_shared((64, 64), T.float16)
            c = T.alloc_fragment((16, 64), T.float32)
            T.copy(A, As)
            T.copy(B, Bs)
            T.clear(c)
            for i in range(2):
                r = I[i]
                T.gemm(As[r * 16 : r * 16 + 16, :], Bs, c)
            T.copy(c, C)

    return (
        k,
        lambda d: {"A": d(64, 64), "B": d(64, 64), "I": np.array([2, 1], np.int32)},
        lambda A, B, I: {"C": mm(A[32:48], B).astype(np.float32) + mm(A[16:32], B).astype(np.float32)},
    )


def unaligned_part():

    @tiledsl.kernel(out_idx=-1)
    def k(A: T.Tensor((64, 64), T.float16), B: T.Tensor((64, 64), T.float16), C: T.Tensor((16, 64), T.float32)):
        with T.Kernel(1, threads=64):
            As = T.alloc_shared((64, 64), T.float16)
            Bs = T.alloc_shared((64, 64), T.float16)
            c = T.alloc_fragment((16, 64), T.float32)
            T.copy(A, As)
            T.copy(B, Bs)
            T.clear(c)
            T.gemm(As[3:19, 3:35], Bs[5:37, :], c)
            T.copy(c, C)

    return (
        k,
        lambda d: {"A": d(64, 64), "B": d(64, 64)},
        lambda A, B: {"C": mm(A[3:19, 3:35], B[5:37]).astype(np.float32)},
    )


def promoted_accumulator():

    @tiledsl.kernel(out_idx=-1)
    def k(A: T.Tensor((64, 160), T.float16), B: T.Tensor((160, 64), T.float16), C: T.Tensor((64, 64), T.float32)):
        with T.Kernel(1, threads=128):
            As = T.alloc_shared((64, 16), T.float16)
            Bs = T.alloc_shared((16, 64), T.float16)
            c = T.alloc_fragment((64, 64), T.float16)
            C2 = T.alloc_fragment((64, 64), T.float32)
            T.clear(c)
            T.clear(C2)
            for kk in T.Pipelined(10, num_stages=3):
                T.copy(A[0, kk * 16], As)
                T.copy(B[kk * 16, 0], Bs)
                T.gemm(As, Bs, c)
                if (kk + 1) % 4 == 0:
                    for i, j in T.Parallel(64, 64):
                        C2[i, j] += c[i, j]
                    T.clear(c)
            for i, j in T.Parallel(64, 64):
                C2[i, j] += c[i, j]
            T.copy(C2, C)

    return (k, lambda d: {"A": d(64, 160), "B": d(160, 64)}, lambda A, B: {"C": mm(A, B).astype(np.float32)})


def dequant_int8():

    @tiledsl.kernel(out_idx=-1)
    def k(A: T.Tensor((64, 128), T.float16), B: T.Tensor((64, 128), T.int8), C: T.Tensor((64, 64), T.float32)):
        with T.Kernel(1, threads=128):
            As = T.alloc_shared((64, 32), T.float16)
            Bs = T.alloc_shared((64, 32), T.int8)
            Bd = T.alloc_shared((64, 32), T.float16)
            c = T.alloc_fragment((64, 64), T.float32)
            T.clear(c)
            for kk in T.Pipelined(4, num_stages=3):
                T.copy(A[0, kk * 32], As)
                T.copy(B[0, kk * 32], Bs)
                for i, j in T.Parallel(64, 32):
                    Bd[i, j] = T.cast(Bs[i, j], T.float16)
                T.gemm(As, Bd, c, transpose_B=True)
            T.copy(c, C)

    return (
        k,
        lambda d: {"A": d(64, 128), "B": d(64, 128, dtype=np.int8)},
        lambda A, B: {"C": mm(A, B.T).astype(np.float32)},
    )


def dequant_int4():

    @tiledsl.kernel(out_idx=-1)
    def k(A: T.Tensor((64, 128), T.float16), B: T.Tensor((64, 64), T.uint8), C: T.Tensor((64, 64), T.float32)):
        with T.Kernel(1, threads=128):
            As = T.alloc_shared((64, 32), T.float16)
            Bs = T.alloc_shared((64, 16), T.uint8)
            Bl = T.alloc_fragment((64, 16), T.uint8)
            Bd = T.alloc_fragment((64, 32), T.float16)
            Bx = T.alloc_shared((64, 32), T.float16)
            c = T.alloc_fragment((64, 64), T.float32)
            T.clear(c)
            for kk in T.Pipelined(4, num_stages=2):
                T.copy(A[0, kk * 32], As)
                T.copy(B[0, kk * 16], Bs)
                T.copy(Bs, Bl)
                for i, j in T.Parallel(64, 32):
                    Bd[i, j] = T.cast(T.cast(Bl[i, j // 2] >> j % 2 * 4 & 15, T.int32) - 8, T.float16)
                T.copy(Bd, Bx)
                T.gemm(As, Bx, c, transpose_B=True)
            T.copy(c, C)

    def ref(A, B):
        w = np.zeros((64, 128))
        w[:, 0::2] = (B & 15).astype(np.int32) - 8
        w[:, 1::2] = (B >> 4).astype(np.int32) - 8
        return {"C": mm(A, w.T).astype(np.float32)}

    return (k, lambda d: {"A": d(64, 128), "B": d.rng.integers(0, 256, (64, 64)).astype(np.uint8)}, ref)


def scaled_in_place():

    @tiledsl.kernel(out_idx=-1)
    def k(
        A: T.Tensor((64, 128), T.float16),
        B: T.Tensor((128, 64), T.float16),
        S: T.Tensor((128,), T.float16),
        C: T.Tensor((64, 64), T.float32),
    ):
        with T.Kernel(1, threads=128):
            As = T.alloc_shared((64, 32), T.float16)
            Bs = T.alloc_shared((32, 64), T.float16)
            Ss = T.alloc_shared((32,), T.float16)
            c = T.alloc_fragment((64, 64), T.float32)
            T.clear(c)
            for kk in T.Pipelined(4, num_stages=3):
                T.copy(A[0, kk * 32], As)
                T.copy(B[kk * 32, 0], Bs)
                T.copy(S[kk * 32], Ss)
                for i, j in T.Parallel(32, 64):
                    Bs[i, j] = Bs[i, j] * Ss[i]
                T.gemm(As, Bs, c)
            T.copy(c, C)

    return (
        k,
        lambda d: {"A": d(64, 128), "B": d(128, 64), "S": d(128)},
        lambda A, B, S: {"C": mm(A, (B * S[:, None]).astype(f16)).astype(np.float32)},
    )


def cast_in_copy():

    @tiledsl.kernel(out_idx=-1)
    def k(A: T.Tensor((64, 128), T.float32), B: T.Tensor((128, 64), T.float32), C: T.Tensor((64, 64), T.float32)):
        with T.Kernel(1, threads=128):
            As = T.alloc_shared((64, 32), T.float16)
            Bs = T.alloc_shared((32, 64), T.float16)
            c = T.alloc_fragment((64, 64), T.float32)
            T.clear(c)
            for kk in T.Pipelined(4, num_stages=3):
                T.copy(A[0, kk * 32], As)
                T.copy(B[kk * 32, 0], Bs)
                T.gemm(As, Bs, c)
            T.copy(c, C)

    return (
        k,
        lambda d: {"A": d(64, 128, dtype=np.float32), "B": d(128, 64, dtype=np.float32)},
        lambda A, B: {"C": mm(A.astype(f16), B.astype(f16)).astype(np.float32)},
    )


PROGRAMS = (
    a_in_registers,
    b_in_registers,
    a_in_registers_transposed,
    manual_double_buffer,
    parts_along_k,
    chained_through_shared,
    loaded_part,
    unaligned_part,
    promoted_accumulator,
    dequant_int8,
    dequant_int4,
    scaled_in_place,
    cast_in_copy,
)
