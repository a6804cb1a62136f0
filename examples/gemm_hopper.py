"""Matrix products for Hopper (sm_90a): types and orders, persistent, split-K and stream-K, fp8 with scales.

The loops say only what is computed. Of them the compiler makes a warpgroup that copies tiles by the copy engine, and
two or three that multiply, with a product in flight while the next tiles come.
"""

import ml_dtypes
import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

# name -> (dtype of A, dtype of B, accumulator, T.gemm precision)
OPERANDS = {
    "float16": (T.float16, T.float16, T.float32, "ieee"),
    "bfloat16": (T.bfloat16, T.bfloat16, T.float32, "ieee"),
    "tf32": (T.float32, T.float32, T.float32, "tf32"),
    "e4m3": (T.float8_e4m3fn, T.float8_e4m3fn, T.float32, "ieee"),
    "e5m2": (T.float8_e5m2, T.float8_e5m2, T.float32, "ieee"),
    "e4m3-e5m2": (T.float8_e4m3fn, T.float8_e5m2, T.float32, "ieee"),
    "int8": (T.int8, T.int8, T.int32, "ieee"),
}
NUMPY = {
    T.float16: np.float16,
    T.bfloat16: ml_dtypes.bfloat16,
    T.float32: np.float32,
    T.float8_e4m3fn: ml_dtypes.float8_e4m3fn,
    T.float8_e5m2: ml_dtypes.float8_e5m2,
    T.int8: np.int8,
}


def gemm(
    M, N, K, block=(128, 256, 64), order="NN", dtype="float16", result=T.float16, num_stages=3, threads=256, panel=0
):
    """C = op(A) op(B). `order`: N as stored in the product's order, T transposed, for A and B.

    A tile of C goes through shared memory, from where the copy engine stores it. With `panel` blocks that run at the
    same time work on neighbouring tiles, which share the L2 cache.
    """
    block_M, block_N, block_K = block
    dtype_A, dtype_B, accumulate, precision = OPERANDS[dtype]
    trans_A, trans_B = order[0] == "T", order[1] == "T"
    shape_A = (K, M) if trans_A else (M, K)
    shape_B = (N, K) if trans_B else (K, N)
    tile_A = (block_K, block_M) if trans_A else (block_M, block_K)
    tile_B = (block_N, block_K) if trans_B else (block_K, block_N)

    @tiledsl.kernel(out_idx=-1)
    def gemm(A: T.Tensor(shape_A, dtype_A), B: T.Tensor(shape_B, dtype_B), C: T.Tensor((M, N), result)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared(tile_A, dtype_A)
            B_shared = T.alloc_shared(tile_B, dtype_B)
            C_shared = T.alloc_shared((block_M, block_N), result)
            C_local = T.alloc_fragment((block_M, block_N), accumulate)
            T.use_swizzle(panel or 1, enable=panel > 0)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[k * block_K, by * block_M] if trans_A else A[by * block_M, k * block_K], A_shared)
                T.copy(B[bx * block_N, k * block_K] if trans_B else B[k * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local, trans_A, trans_B, precision=precision)
            T.copy(C_local, C_shared)
            T.copy(C_shared, C[by * block_M, bx * block_N])

    return gemm


def product(A, B, order="NN"):
    """op(A) op(B) in float64."""
    A, B = (x.astype(np.float64) for x in (A, B))
    return (A.T if order[0] == "T" else A) @ (B.T if order[1] == "T" else B)


def gemm_case(name, M, N, K, order="NN", dtype="float16", kernel=gemm, **options):
    of_A, of_B = (NUMPY[d] for d in OPERANDS[dtype][:2])
    result = NUMPY[options.get("result", T.float16)]

    def inputs(draw):
        A = draw(*((K, M) if order[0] == "T" else (M, K)), dtype=of_A)
        B = draw(*((N, K) if order[1] == "T" else (K, N)), dtype=of_B)
        return {"A": A, "B": B}

    program = kernel(M, N, K, order=order, dtype=dtype, **options)
    tolerance = 4e-2 if dtype in ("bfloat16", "tf32") else 1e-2
    return Case(
        f"gemm-hopper-{name}", program, inputs, lambda A, B: {"C": product(A, B, order).astype(result)},
        rtol=tolerance, atol=tolerance, targets=("sm_90a",),
    )  # fmt: skip


def type_cases():
    for dtype in OPERANDS:
        for order in ("NN", "NT", "TN", "TT"):
            wide = 64 if dtype == "tf32" else 128
            block = (128, 64, 128 if OPERANDS[dtype][0].bits == 8 else 32 if dtype == "tf32" else 64)
            yield gemm_case(f"{dtype}-{order}", 128, wide, 2 * block[2] + 16, order, dtype, block=block)


def tile_cases():
    for block, threads in (((128, 128, 64), 256), ((128, 256, 64), 256), ((256, 128, 64), 256), ((192, 128, 64), 384)):
        name = "x".join(map(str, block))
        yield gemm_case(f"tile-{name}", block[0], block[1], 320, block=block, threads=threads)


def cases():
    yield from type_cases()
    yield from tile_cases()
