"""Small kernels as users write them, as source text: what `mutated_sources` starts from.

Each defines `kernel`, and `STATIC` and `TENSORS` where tracing needs values or arguments of the constant style.
Together they speak most words of the language.
"""

from __future__ import annotations

CONSTANT_STYLE = """
import tiledsl.language as T

STATIC = {"scale": 2.0}

TENSORS = {"A": ((24, 40), "float32")}

def kernel(A, scale: float, block: int = 16):
    M, N = T.const("M, N")
    A: T.Tensor((M, N), T.float32)
    B = T.empty((M, N), T.float32)
    with T.Kernel(T.ceildiv(M, block)) as bx:
        rows = T.alloc_shared((block, N), T.float32)
        T.copy(A[bx * block, 0], rows)
        for i, j in T.Parallel(block, N):
            rows[i, j] = rows[i, j] * scale
        T.copy(rows, B[bx * block, 0])
    return B
"""

CONTROL_FLOW = """
import tiledsl.language as T

def kernel(limit: T.int32, B: T.Tensor((8,), "int32")):
    with T.Kernel(1, threads=32):
        total = T.alloc_var("int32", 0)
        for i in range(10, 0, -3):  # 10, 7, 4, 1
            total += i
        B[0] = total
        steps = T.alloc_var("int32", init=0)
        while total > 1:
            steps = steps + 1
            if total % 2 == 0:
                total = total // 2
            elif total > 40:
                total = total - 1
                continue
            else:
                total = 3 * total + 1
            if steps >= 5:
                break
        B[1] = total
        B[2] = steps
        kind = T.alloc_var("int32", 7)
        if 2 < limit <= 5 and not limit == 4:
            kind = 1
        elif limit == 4 or limit > 100:
            kind = 2
        B[3] = kind
        B[4] = limit if limit < 3 else -limit
        x, y = 5, B[0]
        B[5], B[6] = y + x, B[0] - 1
        for k in T.serial(2, 8, 2):
            B[7] = k
"""

DYNAMIC_SIZES = """
import tiledsl.language as T

m, n = T.dynamic("m, n")

def kernel(A: T.Tensor((m, n), "float32"), C: T.Tensor((n,), "float32"), alpha: T.float32, first: T.int32):
    with T.Kernel(T.ceildiv(n, 32), threads=32) as b:
        column = T.alloc_fragment((32,), "float32")
        T.clear(column)
        for row in range(first, m):
            for j in T.Parallel(32):
                if b * 32 + j < n:
                    column[j] += A[row, b * 32 + j] * alpha
        for j in T.Parallel(32):
            column[j] = column[j] + n
        T.copy(column, C[b * 32])
"""

EXTERNS = """
import tiledsl.language as T

SOURCE = '''
__device__ float scaled(float x, int n) { return x * n; }
__device__ void note(float* p) { *p += 1; }
'''

def kernel(A: T.Tensor((64,), "float32"), M: T.Tensor((64,), "bool")):
    T.import_source(SOURCE)
    with T.Kernel(1, threads=64):
        S = T.alloc_shared((64,), "float32")
        for i in T.Parallel(64):
            x = T.call_extern("float32", "scaled", A[i], T.int32(i))
            S[i] = x + T.call_pure_extern("float32", "scaled", x, T.int32(3))
            M[i] = A[i]
        T.call_extern("handle", "note", T.address_of(S[5]))
        counters = [T.alloc_var("int32", 0), T.alloc_var("int32", 0)]
        if A[0] > 0:
            counters[1] = 7
            counters[0] += 2
        A[1] = counters[0] + counters[1]
"""

GEMM = """
import tiledsl.language as T

M, N, K = 96, 64, 80

def kernel(
    A: T.Tensor((M, K), "float16"),
    B: T.Tensor((K, N), T.float16),
    bias: T.Tensor[(N,), "float32"],
    C: T.Tensor((M, N), T.float16),
):
    with T.Kernel(T.ceildiv(N, 32), T.ceildiv(M, 64), threads=128) as (bx, by):
        A_shared = T.alloc_shared((64, 32), T.float16)
        B_shared = T.alloc_shared((32, 32), T.float16)
        total = T.alloc_fragment((64, 32), "float32")
        T.use_swizzle(4)
        T.clear(total)
        for k in T.Pipelined(T.ceildiv(K, 32), num_stages=2):
            T.copy(A[by * 64, k * 32], A_shared)
            T.copy(B[k * 32 : (k + 1) * 32, bx * 32 : (bx + 1) * 32], B_shared)
            T.gemm(A_shared, B_shared, total, policy=T.GemmWarpPolicy.FullRow)
        for i, j in T.Parallel(64, 32):
            total[i, j] = T.max(total[i, j] + bias[bx * 32 + j], 0)
        T.copy(total, C[by * 64, bx * 32])
"""

MACROS = """
import tiledsl.language as T

@T.macro
def row_sums(tile, rows, columns):
    sums = T.alloc_fragment((rows,), "float32")
    T.reduce_sum(tile, sums, dim=1)
    if columns > 16:
        for i in T.Parallel(rows):
            sums[i] = sums[i] * 2
    return sums

@T.macro
def increase(counter: T.Ref, by):
    counter = counter + by
    by = by * 2
    counter += by

def double(x):
    return x + x

def kernel(A: T.Tensor((2, 16, 16), "float32"), B: T.Tensor((2, 16), "float32"), C: T.Tensor((2,), "int32")):
    with T.Kernel(2, threads=64) as b:
        tile = T.alloc_fragment((16, 16), "float32")
        T.copy(A[b, :, :], tile)
        for _ in [0, 1]:
            for i, j in T.Parallel(16, 16):
                tile[i, j] = double(tile[i, j])
        T.copy(row_sums(tile, 16, 16), B[b, 0])
        count = T.alloc_var("int32", 1)
        increase(count, b + 1)
        C[b] = count
"""

SCALARS = """
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
"""

SHUFFLES = """
import tiledsl.language as T

def kernel(A: T.Tensor((4, 32), "float32"), B: T.Tensor((4,), "float32")):
    with T.Kernel(1, threads=128):
        lane, warp = T.get_lane_idx(), T.get_warp_idx()
        total = T.warp_reduce_sum(A[warp, lane])
        if lane == 0:
            B[warp] = total
        if T.any_sync(A[warp, lane] > 3):
            B[warp] = T.shfl(total, 5)
"""

SLICES = """
import tiledsl.language as T

def kernel(
    A: T.Tensor((64, 16), "float32"),
    Pages: T.Tensor((3,), "int32"),
    C: T.Tensor((24, 16), "float32"),
    skip: T.int64,
):
    with T.Kernel(3, threads=32) as b:
        page = Pages[b]
        tile = T.alloc_fragment((8, 16), "float32")
        T.copy(A[page * 8 : (page + 1) * 8, :], tile)
        T.copy(tile, C[b * 8 : b * 8 + 8, :])
        narrow = T.alloc_fragment((4, 16), "float32")
        T.copy(A[page * 8 + skip + 2 * b : skip - (2 - page * 4 - b) * 2 + 8, :], narrow)
        T.copy(narrow, C[b * 8 + 2 : b * 8 + 6, :])
        T.copy(A[Pages[b] * 8 : Pages[b] * 8 + 1, :], C[b * 8 + 7, :])
"""

THREADS = """
import tiledsl.language as T

def kernel(A: T.Tensor((4, 32), "float32"), B: T.Tensor((4,), "float32"), C: T.Tensor((4, 32), "float32")):
    with T.Kernel(1, threads=(32, 4)):
        x, y = T.get_thread_bindings()
        S = T.alloc_shared((4, 32), "float32")
        S[y, x] = A[y, x] * 2
        T.sync_threads()
        if x == y:
            B[y] = S[y, 31 - x] + T.get_thread_extent(1)
        pair = T.alloc_local((2,), "float32")
        for tx in T.thread_binding(32, "threadIdx.x"):
            for q in T.unroll(2):
                pair[q] = S[y, (tx + q) % 32]
            C[y, tx] = pair[0] - pair[1]
"""

TILE_WORDS = """
import tiledsl.language as T

def kernel(
    A: T.Tensor((32, 64), "float32"),
    B: T.Tensor((64, 32), "float32"),
    C: T.Tensor((32, 64), "float32"),
    D: T.Tensor((4,), "int32"),
):
    with T.Kernel(1, threads=64):
        S = T.alloc_shared((32, 64), "float32")
        R = T.alloc_shared((64, 32), "float32")
        T.copy(A, S)
        T.transpose(S, R)
        T.fill(R[0:2, :], 5)
        T.copy(R, B)
        T.cumsum(S, dim=1)
        T.atomic_add(C, S)
        flat = T.reshape(S, (2048,))
        for i in T.Parallel(2048):
            T.atomic_add(D[T.cast(flat[i], "int32") & 3], 1)
        T.fill(flat, 0)
        T.atomic_max(C[0, 0:64], S[0, :])
"""

TWO_LAUNCHES = """
import tiledsl.language as T

def kernel(A: T.Tensor((64,), "float32"), B: T.Tensor((1,), "float32")):
    partial = T.alloc_global((4,), "float32")
    with T.Kernel(4, threads=32) as b:
        part = T.alloc_fragment((16,), "float32")
        total = T.alloc_fragment((1,), "float32")
        T.copy(A[b * 16], part)
        T.reduce_sum(part, total, dim=0)
        T.copy(total, partial[b])
    with T.Kernel(1, threads=32):
        parts = T.alloc_fragment((4,), "float32")
        total = T.alloc_fragment((1,), "float32")
        T.copy(partial, parts)
        T.reduce_max(parts, total)
        T.copy(total, B)
"""

ATTENTION = """
import tiledsl.language as T

def kernel(Q: T.Tensor((64, 32), T.float16), K: T.Tensor((80, 32), T.float16), V: T.Tensor((80, 32), T.float16),
           O: T.Tensor((64, 32), T.float16)):
    with T.Kernel(2, threads=64) as b:
        Qs = T.alloc_shared((32, 32), T.float16)
        Ks = T.alloc_shared((32, 32), T.float16)
        scores = T.alloc_fragment((32, 32), T.float32)
        weights = T.alloc_fragment((32, 32), T.float16)
        out = T.alloc_fragment((32, 32), T.float32)
        greatest = T.alloc_fragment((32,), T.float32)
        total = T.alloc_fragment((32,), T.float32)
        T.annotate_layout({Qs: T.make_swizzled_layout(Qs)})
        T.copy(Q[b * 32 : (b + 1) * 32, :], Qs)
        T.clear(out)
        T.fill(greatest, -T.infinity("float32"))
        for k in T.Pipelined(T.ceildiv(80, 32), num_stages=2):
            T.copy(K[k * 32 : (k + 1) * 32, :], Ks)
            for i, j in T.Parallel(32, 32):
                scores[i, j] = T.if_then_else(k * 32 + j < 80, 0, -T.infinity("float32"))
            T.gemm(Qs, Ks, scores, transpose_B=True, policy=T.GemmWarpPolicy.FullRow)
            T.reduce_max(scores, greatest, dim=1, clear=False)
            for i, j in T.Parallel(32, 32):
                scores[i, j] = T.exp2(scores[i, j] - greatest[i])
            T.reduce_sum(scores, total, dim=1, clear=k == 0)
            T.copy(scores, weights)
            T.copy(V[k * 32, 0], Ks)
            T.gemm(weights, Ks, out, policy=T.GemmWarpPolicy.FullRow)
        for i, j in T.Parallel(32, 32):
            out[i, j] /= total[i]
        T.copy(out, O[b * 32, 0])
"""

STENCIL = """
import tiledsl.language as T

n = T.dynamic("n")

def kernel(A: T.Tensor((n, 70), "float32"), M: T.Tensor((8,), "bool"), I: T.Tensor((8,), "int32"),
           B: T.Tensor((n, 70), "float32")):
    with T.Kernel(T.ceildiv(70, 32), T.ceildiv(n, 8), threads=96) as (bx, by):
        T.annotate_safe_value({A: -7.0})
        T.use_swizzle(2)
        S = T.alloc_shared((8, 32), "float32")
        F = T.alloc_fragment((8, 32), "float32")
        T.annotate_layout({S: T.Layout((8, 32), lambda i, j: i * 32 + (j ^ i))})
        for k in T.Pipelined(3, num_stages=2, order=[0, 1], stage=[0, 1]):
            T.copy(A[by * 8 + k - 1, bx * 32], S)
            for i, j in T.Parallel(8, 32, coalesced_width=2):
                F[i, j] = S[i, j] + A[by * 8 + i, bx * 32 + j - 1]
        if M[by % 8]:
            T.copy(S[0:4, :], F[0:4, :])
        where = I[by % 8]
        for i, j in T.Parallel(8, 32):
            if where + i < n and j < 30:
                B[where + i, bx * 32 + j] = T.max(F[i, j], S[i, T.min(j + 1, 31)])
        T.device_assert(where >= 0)
        T.print(F)
"""

SOURCES: dict[str, str] = {
    "constant_style": CONSTANT_STYLE,
    "control_flow": CONTROL_FLOW,
    "dynamic_sizes": DYNAMIC_SIZES,
    "externs": EXTERNS,
    "gemm": GEMM,
    "macros": MACROS,
    "scalars": SCALARS,
    "shuffles": SHUFFLES,
    "slices": SLICES,
    "threads": THREADS,
    "tile_words": TILE_WORDS,
    "two_launches": TWO_LAUNCHES,
    "attention": ATTENTION,
    "stencil": STENCIL,
}
