"""Matrix products: every operand order, dtype, depth of pipeline; run-time sizes; split-K; block-sparse."""

import ml_dtypes
import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

# name -> (operand dtype, accumulator, result, NumPy operand, NumPy result, T.gemm precision)
DTYPES = {
    "float16": (T.float16, T.float32, T.float16, np.float16, np.float16, "ieee"),
    "bfloat16": (T.bfloat16, T.float32, T.bfloat16, ml_dtypes.bfloat16, ml_dtypes.bfloat16, "ieee"),
    "tf32": (T.float32, T.float32, T.float32, np.float32, np.float32, "tf32"),
    "float32": (T.float32, T.float32, T.float32, np.float32, np.float32, "ieee"),
    "float64": (T.float64, T.float64, T.float64, np.float64, np.float64, "ieee"),
    "int8": (T.int8, T.int32, T.int32, np.int8, np.int32, "ieee"),
}


def gemm(M, N, K, block=(128, 128, 32), order="NN", dtype="float16", num_stages=3, threads=128, policy="Square"):
    """C = op(A) op(B). `order`: N as stored in the product's order, T transposed, for A and B."""
    block_M, block_N, block_K = block
    operand, accumulate, result, _, _, precision = DTYPES[dtype]
    trans_A, trans_B = order[0] == "T", order[1] == "T"
    shape_A = (K, M) if trans_A else (M, K)
    shape_B = (N, K) if trans_B else (K, N)
    tile_A = (block_K, block_M) if trans_A else (block_M, block_K)
    tile_B = (block_N, block_K) if trans_B else (block_K, block_N)

    @tiledsl.kernel(out_idx=-1)
    def gemm(A: T.Tensor(shape_A, operand), B: T.Tensor(shape_B, operand), C: T.Tensor((M, N), result)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared(tile_A, operand)
            B_shared = T.alloc_shared(tile_B, operand)
            C_local = T.alloc_fragment((block_M, block_N), accumulate)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                if trans_A:
                    T.copy(A[k * block_K, by * block_M], A_shared)
                else:
                    T.copy(A[by * block_M, k * block_K], A_shared)
                if trans_B:
                    T.copy(B[bx * block_N, k * block_K], B_shared)
                else:
                    T.copy(B[k * block_K, bx * block_N], B_shared)
                T.gemm(
                    A_shared,
                    B_shared,
                    C_local,
                    transpose_A=trans_A,
                    transpose_B=trans_B,
                    policy=getattr(T.GemmWarpPolicy, policy),
                    precision=precision,
                )
            T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm


def gemm_dynamic(block_M=64, block_N=64, block_K=32, num_stages=2, threads=128):
    """One binary for all sizes: m, n and k are known at launch."""
    m, n, k = T.dynamic("m"), T.dynamic("n"), T.dynamic("k")

    @tiledsl.kernel(out_idx=-1)
    def gemm_dynamic(A: T.Tensor((m, k), T.float16), B: T.Tensor((k, n), T.float16), C: T.Tensor((m, n), T.float16)):
        with T.Kernel(T.ceildiv(n, block_N), T.ceildiv(m, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for ko in T.Pipelined(T.ceildiv(k, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, ko * block_K], A_shared)
                T.copy(B[ko * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm_dynamic


@tiledsl.kernel
def gemm_constant_style(A, B, block_M: int = 64, block_N: int = 64, block_K: int = 32):
    """The sizes are bound from the arguments, the result is allocated by the call."""
    M, N, K = T.const("M, N, K")
    A: T.Tensor((M, K), T.float16)
    B: T.Tensor((K, N), T.float16)
    C = T.empty((M, N), T.float16)
    with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=128) as (bx, by):
        A_shared = T.alloc_shared((block_M, block_K), T.float16)
        B_shared = T.alloc_shared((block_K, block_N), T.float16)
        C_local = T.alloc_fragment((block_M, block_N), T.float32)
        T.clear(C_local)
        for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=2):
            T.copy(A[by * block_M, k * block_K], A_shared)
            T.copy(B[k * block_K, bx * block_N], B_shared)
            T.gemm(A_shared, B_shared, C_local)
        T.copy(C_local, C[by * block_M, bx * block_N])
    return C


def gemm_split_k(M, N, K, split=4, block_M=64, block_N=64, block_K=32, threads=128):
    """The K range is dealt to `split` blocks, which add their parts to C in float32."""
    part = -(-K // (split * block_K)) * block_K

    @tiledsl.kernel
    def gemm_split_k(A: T.Tensor((M, K), T.float16), B: T.Tensor((K, N), T.float16), C: T.Tensor((M, N), T.float32)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), split, threads=threads) as (bx, by, bz):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(part // block_K, num_stages=2):
                T.copy(A[by * block_M, bz * part + k * block_K], A_shared)
                T.copy(B[bz * part + k * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            T.atomic_add(C[by * block_M, bx * block_N], C_local)

    return gemm_split_k


def gemm_block_sparse(M, N, K, block_M=64, block_N=64, block_K=32, num_stages=2, threads=128):
    """Only the (M, N, K) blocks that the mask names are loaded and multiplied."""
    mask_shape = (-(-M // block_M), -(-N // block_N), -(-K // block_K))

    @tiledsl.kernel(out_idx=-1)
    def gemm_block_sparse(
        A: T.Tensor((M, K), T.float16),
        B: T.Tensor((K, N), T.float16),
        Mask: T.Tensor(mask_shape, T.bool),
        C: T.Tensor((M, N), T.float16),
    ):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                if Mask[by, bx, k]:
                    T.copy(A[by * block_M, k * block_K], A_shared)
                    T.copy(B[k * block_K, bx * block_N], B_shared)
                    T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm_block_sparse


def product(A, B, dtype):
    """In the accumulator's precision, rounded once."""
    wide = np.int64 if np.dtype(dtype).kind == "i" else np.float64
    return (A.astype(wide) @ B.astype(wide)).astype(dtype)


def gemm_case(name, M, N, K, block=(64, 64, 32), order="NN", dtype="float16", **options):
    numpy, result = DTYPES[dtype][3:5]

    def inputs(draw):
        A = draw(*((K, M) if order[0] == "T" else (M, K)), dtype=numpy)
        B = draw(*((N, K) if order[1] == "T" else (K, N)), dtype=numpy)
        return {"A": A, "B": B}

    def reference(A, B):
        return {"C": product(A.T if order[0] == "T" else A, B.T if order[1] == "T" else B, result)}

    tight = dtype in ("float32", "float64")
    coarse = {"bfloat16": 4e-2, "tf32": 4e-2}.get(dtype, 1e-2)
    rtol, atol = (1e-4, 1e-4) if tight else (coarse, coarse)
    return Case(name, gemm(M, N, K, block, order, dtype, **options), inputs, reference, rtol=rtol, atol=atol)


def block_sparse_reference(A, B, Mask, block=(64, 64, 32)):
    bm, bn, bk = block
    M, N = A.shape[0], B.shape[1]
    out = np.zeros((M, N))
    for i, j, k in zip(*np.nonzero(Mask)):
        rows, cols, depth = (slice(x * b, (x + 1) * b) for x, b in ((i, bm), (j, bn), (k, bk)))
        out[rows, cols] += A[rows, depth].astype(np.float64) @ B[depth, cols].astype(np.float64)
    return {"C": out.astype(np.float16)}


def cases():
    for dtype in DTYPES:
        for order in ("NN", "NT", "TN", "TT"):
            yield gemm_case(f"gemm-{dtype}-{order}", 128, 64, 160, order=order, dtype=dtype, num_stages=2)
    for stages in (1, 2, 3, 4):
        yield gemm_case(f"gemm-{stages}-stages", 128, 128, 160, num_stages=stages)
    yield gemm_case("gemm-ragged", 100, 72, 200, num_stages=3)
    yield gemm_case("gemm-odd", 67, 45, 147, num_stages=2)
    yield gemm_case("gemm-tile-128x128x32", 128, 256, 128, block=(128, 128, 32))
    yield gemm_case("gemm-tile-256x128x32-8-warps", 256, 128, 192, block=(256, 128, 32), threads=256)
    yield gemm_case("gemm-tile-96x96x32", 96, 192, 128, block=(96, 96, 32))
    yield gemm_case("gemm-tile-64x256x64-full-col", 64, 256, 256, block=(64, 256, 64), policy="FullCol")
    yield gemm_case(
        "gemm-tile-128x64x64-full-row-8-warps", 128, 64, 384, block=(128, 64, 64), threads=256, policy="FullRow"
    )
    for M, N, K in ((128, 64, 96), (70, 50, 105)):
        yield Case(
            f"gemm-dynamic-{M}x{N}x{K}",
            gemm_dynamic(),
            lambda draw, M=M, N=N, K=K: {"A": draw(M, K), "B": draw(K, N)},
            lambda A, B: {"C": product(A, B, np.float16)},
        )
    yield Case(
        "gemm-constant-style",
        gemm_constant_style,
        lambda draw: {"A": draw(128, 160), "B": draw(160, 96)},
        lambda A, B: {"C": product(A, B, np.float16)},
    )
    for M, N, K in ((64, 128, 256), (60, 100, 200)):
        yield Case(
            f"gemm-split-k-{M}x{N}x{K}",
            gemm_split_k(M, N, K, split=2),
            lambda draw, M=M, N=N, K=K: {"A": draw(M, K), "B": draw(K, N), "C": np.zeros((M, N), np.float32)},
            lambda A, B, C: {"C": product(A, B, np.float32)},
            rtol=1e-4,
            atol=1e-3,
        )
    yield Case(
        "gemm-block-sparse",
        gemm_block_sparse(128, 128, 160),
        lambda draw: {"A": draw(128, 160), "B": draw(160, 128), "Mask": draw.rng.random((2, 2, 5)) < 0.5},
        block_sparse_reference,
    )
