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
    M, N, K, block=(128, 256, 64), order="NN", dtype="float16", result=T.float16, num_stages=3, threads=256, panel=0,
    specialise=True,
):  # fmt: skip
    """C = op(A) op(B). `order`: N as stored in the product's order, T transposed, for A and B.

    A tile of C goes through shared memory, from where the copy engine stores it. With `panel` blocks that run at the
    same time work on neighbouring tiles, which share the L2 cache. Without `specialise` all threads do the same work:
    one of them starts the copies, and all wait for the tiles.
    """
    block_M, block_N, block_K = block
    dtype_A, dtype_B, accumulate, precision = OPERANDS[dtype]
    trans_A, trans_B = order[0] == "T", order[1] == "T"
    shape_A = (K, M) if trans_A else (M, K)
    shape_B = (N, K) if trans_B else (K, N)
    tile_A = (block_K, block_M) if trans_A else (block_M, block_K)
    tile_B = (block_N, block_K) if trans_B else (block_K, block_N)

    @tiledsl.kernel(out_idx=-1, options={"warp-specialise": {"enabled": specialise}})
    def gemm(A: T.Tensor(shape_A, dtype_A), B: T.Tensor(shape_B, dtype_B), C: T.Tensor((M, N), result)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared(tile_A, dtype_A)
            B_shared = T.alloc_shared(tile_B, dtype_B)
            C_shared = T.alloc_shared((block_M, block_N), result)
            C_local = T.alloc_fragment((block_M, block_N), accumulate)
            if panel:
                T.use_swizzle(panel)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[k * block_K, by * block_M] if trans_A else A[by * block_M, k * block_K], A_shared)
                T.copy(B[bx * block_N, k * block_K] if trans_B else B[k * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local, trans_A, trans_B, precision=precision)
            T.copy(C_local, C_shared)
            T.copy(C_shared, C[by * block_M, bx * block_N])

    return gemm


def gemm_persistent(
    M, N, K, block=(128, 256, 64), order="NN", dtype="float16", result=T.float16, num_stages=3, threads=256,
    blocks=132, group=8, specialise=True,
):  # fmt: skip
    """The same, on as many blocks as the GPU runs at a time: each works on every `blocks`-th tile of C.

    While a tile is stored, those that copy are at work for the next one already. Tiles are dealt `group` columns at a
    time, so that what runs at the same time shares the L2 cache.
    """
    block_M, block_N, block_K = block
    dtype_A, dtype_B, accumulate, precision = OPERANDS[dtype]
    trans_A, trans_B = order[0] == "T", order[1] == "T"
    shape_A = (K, M) if trans_A else (M, K)
    shape_B = (N, K) if trans_B else (K, N)
    tile_A = (block_K, block_M) if trans_A else (block_M, block_K)
    tile_B = (block_N, block_K) if trans_B else (block_K, block_N)
    tiles = [-(-M // block_M), -(-N // block_N)]

    @tiledsl.kernel(out_idx=-1, options={"warp-specialise": {"enabled": specialise}})
    def gemm_persistent(A: T.Tensor(shape_A, dtype_A), B: T.Tensor(shape_B, dtype_B), C: T.Tensor((M, N), result)):
        with T.Kernel(blocks, threads=threads) as number:
            A_shared = T.alloc_shared(tile_A, dtype_A)
            B_shared = T.alloc_shared(tile_B, dtype_B)
            C_shared = T.alloc_shared((block_M, block_N), result)
            C_local = T.alloc_fragment((block_M, block_N), accumulate)
            for by, bx in T.Persistent(tiles, blocks, number, group_size=group):
                T.clear(C_local)
                for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                    T.copy(A[k * block_K, by * block_M] if trans_A else A[by * block_M, k * block_K], A_shared)
                    T.copy(B[bx * block_N, k * block_K] if trans_B else B[k * block_K, bx * block_N], B_shared)
                    T.gemm(A_shared, B_shared, C_local, trans_A, trans_B, precision=precision)
                T.copy(C_local, C_shared)
                T.copy(C_shared, C[by * block_M, bx * block_N])

    return gemm_persistent


def gemm_dynamic(block=(128, 256, 64), num_stages=3, threads=256, blocks=132, group=8):
    """The same for all sizes whose rows are multiples of 16 bytes, as the copy engine wants them: one binary."""
    block_M, block_N, block_K = block
    m, n, k = T.dynamic("m"), T.dynamic("n"), T.dynamic("k")

    @tiledsl.kernel(out_idx=-1)
    def gemm_dynamic(A: T.Tensor((m, k), T.float16), B: T.Tensor((k, n), T.float16), C: T.Tensor((m, n), T.float16)):
        with T.Kernel(blocks, threads=threads) as number:
            T.assume(n % 8 == 0)
            T.assume(k % 8 == 0)
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_shared = T.alloc_shared((block_M, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            tiles = [T.ceildiv(m, block_M), T.ceildiv(n, block_N)]
            for by, bx in T.Persistent(tiles, blocks, number, group_size=group):
                T.clear(C_local)
                for ko in T.Pipelined(T.ceildiv(k, block_K), num_stages=num_stages):
                    T.copy(A[by * block_M, ko * block_K], A_shared)
                    T.copy(B[ko * block_K, bx * block_N], B_shared)
                    T.gemm(A_shared, B_shared, C_local)
                T.copy(C_local, C_shared)
                T.copy(C_shared, C[by * block_M, bx * block_N])

    return gemm_dynamic


def gemm_split_k(
    M, N, K, split=4, block=(128, 128, 64), num_stages=3, threads=256, bulk=True, result=T.float32
):  # fmt: skip
    """The K range is dealt to `split` blocks, which add their parts to C; `bulk`: by the copy engine."""
    block_M, block_N, block_K = block
    part = -(-K // (split * block_K)) * block_K

    @tiledsl.kernel
    def gemm_split_k(A: T.Tensor((M, K), T.float16), B: T.Tensor((K, N), T.float16), C: T.Tensor((M, N), result)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), split, threads=threads) as (bx, by, bz):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(part // block_K, num_stages=num_stages):
                T.copy(A[by * block_M, bz * part + k * block_K], A_shared)
                T.copy(B[bz * part + k * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            if bulk:
                C_shared = T.alloc_shared((block_M, block_N), result)
                T.copy(C_local, C_shared)
                T.atomic_add(C[by * block_M, bx * block_N], C_shared, use_tma=True)
            else:
                T.atomic_add(C[by * block_M, bx * block_N], C_local)

    return gemm_split_k


def gemm_stream_k(M, N, K, block=(128, 128, 64), num_stages=3, threads=256, blocks=132):
    """The steps along K of all tiles stand in a row, of which each block gets an equal part.

    A block stores the tiles that are wholly its own. Of others it puts its part into a workspace: of the tile that it
    begins with into slot 0, of that which it ends with into slot 1. A second launch adds the parts of such tiles.
    Source: Osama et al., "Stream-K", 2023, algorithm 5; there the fix-up waits for the other blocks.
    """
    block_M, block_N, block_K = block
    rows, columns, steps = -(-M // block_M), -(-N // block_N), -(-K // block_K)
    share = -(-rows * columns * steps // blocks)  # steps of a block

    @tiledsl.kernel(out_idx=-1)
    def gemm_stream_k(A: T.Tensor((M, K), T.float16), B: T.Tensor((K, N), T.float16), C: T.Tensor((M, N), T.float16)):
        parts = T.alloc_global((blocks, 2, block_M, block_N), T.float32)
        with T.Kernel(blocks, threads=threads) as number:
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_shared = T.alloc_shared((block_M, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            begin = T.min(number * share, rows * columns * steps)
            end = T.min(begin + share, rows * columns * steps)
            first = begin // steps
            for t in range(T.ceildiv(end, steps) - first):
                tile = first + t
                by, bx = tile // columns, tile % columns
                start = T.max(begin - tile * steps, 0)
                stop = T.min(end - tile * steps, steps)
                T.clear(C_local)
                for k in T.Pipelined(start, stop, num_stages=num_stages):
                    T.copy(A[by * block_M, k * block_K], A_shared)
                    T.copy(B[k * block_K, bx * block_N], B_shared)
                    T.gemm(A_shared, B_shared, C_local)
                if stop - start == steps:
                    T.copy(C_local, C_shared)
                    T.copy(C_shared, C[by * block_M, bx * block_N])
                else:
                    T.copy(C_local, parts[number, T.if_then_else(start > 0, 0, 1), 0:block_M, 0:block_N])
        with T.Kernel(columns, rows, threads=threads) as (bx, by):
            tile = by * columns + bx
            first, last = tile * steps // share, (tile * steps + steps - 1) // share
            if first < last:
                total = T.alloc_fragment((block_M, block_N), T.float32)
                part = T.alloc_fragment((block_M, block_N), T.float32)
                T.clear(total)
                for b in range(first, last + 1):
                    T.copy(parts[b, T.if_then_else(b * share > tile * steps, 0, 1), 0:block_M, 0:block_N], part)
                    for i, j in T.Parallel(block_M, block_N):
                        total[i, j] += part[i, j]
                T.copy(total, C[by * block_M, bx * block_N])

    return gemm_stream_k


def gemm_scaled(M, N, K, block_M=128, num_stages=4, threads=256, result=T.bfloat16):
    """C = A B^T of e4m3 numbers with a scale for each 128 numbers along K: of a row of A, of 128 rows of B.

    The tensor core adds up fp8 products in fewer bits than float32 has. So it does only within 128 of K; those sums
    are scaled and added in float32 (DeepSeek-V3 technical report, 3.3.2). `Scales_A` has the numbers of a step along
    K next to each other, to be copied as a row.
    """
    span = 128
    steps = -(-K // span)

    @tiledsl.kernel(out_idx=-1)
    def gemm_scaled(
        A: T.Tensor((M, K), T.float8_e4m3fn),
        B: T.Tensor((N, K), T.float8_e4m3fn),
        Scales_A: T.Tensor((steps, M), T.float32),
        Scales_B: T.Tensor((-(-N // span), steps), T.float32),
        C: T.Tensor((M, N), result),
    ):
        with T.Kernel(T.ceildiv(N, span), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, span), T.float8_e4m3fn)
            B_shared = T.alloc_shared((span, span), T.float8_e4m3fn)
            scales = T.alloc_shared((block_M,), T.float32)
            C_shared = T.alloc_shared((block_M, span), result)
            part = T.alloc_fragment((block_M, span), T.float32)
            total = T.alloc_fragment((block_M, span), T.float32)
            T.clear(total)
            for k in T.Pipelined(steps, num_stages=num_stages):
                T.copy(A[by * block_M, k * span], A_shared)
                T.copy(B[bx * span, k * span], B_shared)
                T.copy(Scales_A[k, by * block_M], scales)
                T.gemm(A_shared, B_shared, part, transpose_B=True, clear_accum=True)
                scale = Scales_B[bx, k]
                for i, j in T.Parallel(block_M, span):
                    total[i, j] += part[i, j] * (scales[i] * scale)
            T.copy(total, C_shared)
            T.copy(C_shared, C[by * block_M, bx * span])

    return gemm_scaled


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
            block = (64, 64, 1024 // OPERANDS[dtype][0].bits)
            K = 4 * block[2] + 16  # more turns than slots, the last one a part
            yield gemm_case(f"{dtype}-{order}", 64, 64, K, order, dtype, block=block, num_stages=2, threads=128)


def tile_cases():
    for block, threads in (((128, 128, 64), 256), ((128, 256, 64), 256), ((256, 128, 64), 256), ((192, 128, 64), 384)):
        name = "x".join(map(str, block))
        yield gemm_case(f"tile-{name}", block[0], block[1], 448, block=block, threads=threads)


def one_role_cases():
    """All threads copy and multiply: rings of one, two and three tiles, ragged, and on through persistent loops."""
    for stages in (1, 2, 3):
        yield gemm_case(
            f"one-role-{stages}-stages", 136, 72, 328,
            block=(64, 64, 64), threads=128, num_stages=stages, specialise=False,
        )  # fmt: skip
    small = {"block": (64, 64, 64), "blocks": 2, "group": 2, "threads": 128, "specialise": False}
    yield gemm_case("one-role-persistent", 200, 136, 136, kernel=gemm_persistent, **small)


def plain_cases(name, kernel, shapes, result=np.float16):
    """Of kernels that take A, B in float16 and return C."""
    for M, N, K in shapes:
        yield Case(
            f"gemm-hopper-{name}-{M}x{N}x{K}",
            kernel(M, N, K),
            lambda draw, M=M, N=N, K=K: {"A": draw(M, K), "B": draw(K, N)},
            lambda A, B: {"C": product(A, B).astype(result)},
            targets=("sm_90a",),
        )


def persistent_cases():
    small = {"block": (128, 64, 64), "num_stages": 2, "blocks": 2, "group": 2}
    shapes = ((384, 128, 192), (200, 136, 200), (128, 64, 320))
    yield from plain_cases("persistent", lambda *s: gemm_persistent(*s, **small), shapes)
    yield from plain_cases("persistent-128x256x64", lambda *s: gemm_persistent(*s, blocks=1), ((256, 256, 384),))
    yield from plain_cases("dynamic", lambda *_: gemm_dynamic(**small), ((200, 136, 264),))
    three = {"block": (192, 64, 64), "num_stages": 2, "threads": 384}
    yield from plain_cases("192x64", lambda *s: gemm(*s, **three), ((200, 72, 264),))
    yield from plain_cases(
        "raster", lambda *s: gemm(*s, block=(128, 64, 64), num_stages=2, panel=2), ((300, 136, 264),)
    )


def split_cases():
    block = (128, 64, 64)
    for M, N, K in ((128, 64, 640), (136, 72, 584)):
        for bulk in (True, False):
            yield Case(
                f"gemm-hopper-split-k-{'bulk' if bulk else 'threads'}-{M}x{N}x{K}",
                gemm_split_k(M, N, K, 2, block, num_stages=2, bulk=bulk),
                lambda draw, M=M, N=N, K=K: {"A": draw(M, K), "B": draw(K, N), "C": np.zeros((M, N), np.float32)},
                lambda A, B, C: {"C": product(A, B).astype(np.float32)},
                rtol=1e-4,
                atol=1e-3,
                targets=("sm_90a",),
            )
    yield Case(
        "gemm-hopper-split-k-float16-136x72x584",
        gemm_split_k(136, 72, 584, 2, block, num_stages=2, result=T.float16),
        lambda draw: {"A": draw(136, 584), "B": draw(584, 72), "C": np.zeros((136, 72), np.float16)},
        lambda A, B, C: {"C": product(A, B).astype(np.float16)},
        atol=0.1,
        targets=("sm_90a",),
    )
    # Of ragged tiles some are split; of two blocks each has two whole ones, one after the other, and half of one.
    for blocks, shape in ((3, (200, 72, 200)), (2, (600, 64, 168))):
        yield from plain_cases("stream-k", lambda *s, n=blocks: gemm_stream_k(*s, block, 2, blocks=n), (shape,))


def scaled_reference(A, B, Scales_A, Scales_B, dtype=ml_dtypes.bfloat16):
    rows, columns = A.shape[0], B.shape[0]
    out = np.zeros((rows, columns))
    for k in range(Scales_A.shape[0]):
        part = slice(k * 128, (k + 1) * 128)
        of_B = np.repeat(Scales_B[:, k], 128)[:columns]
        out += product(A[:, part], B[:, part], "NT") * Scales_A[k][:, None] * of_B[None, :]
    return {"C": out.astype(dtype)}


def scaled_cases():
    for M, N, K in ((128, 128, 640), (136, 72, 528)):

        def inputs(draw, M=M, N=N, K=K):
            steps = -(-K // 128)
            of = {"A": (M, K), "B": (N, K)}
            scales = {"Scales_A": (steps, M), "Scales_B": (-(-N // 128), steps)}
            numbers = {name: draw(*shape, dtype=ml_dtypes.float8_e4m3fn) for name, shape in of.items()}
            powers = {n: np.exp2(draw.rng.integers(-2, 3, shape)).astype(np.float32) for n, shape in scales.items()}
            return {**numbers, **powers}

        yield Case(
            f"gemm-hopper-scaled-{M}x{N}x{K}", gemm_scaled(M, N, K, num_stages=2), inputs, scaled_reference,
            rtol=2e-2, atol=2e-2, targets=("sm_90a",),
        )  # fmt: skip


def cases():
    yield from type_cases()
    yield from tile_cases()
    yield from one_role_cases()
    yield from persistent_cases()
    yield from split_cases()
    yield from scaled_cases()
