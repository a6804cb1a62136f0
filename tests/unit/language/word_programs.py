"""Kernels of words around the computation: the user's own CUDA functions and kernels."""

from __future__ import annotations

import numpy as np
from word_case import Table, drawn, given, integers, zeros

import tiledsl.language as T

CASES = Table()
SOURCE = """
#define N 3
__device__ float scaled(float x, int n) { return x * n; }
__device__ void prefix(float* p, int n) { for (int i = 1; i < n; ++i) p[i] += p[i - 1]; }
__device__ void bump(int* p, const float* q) { *p += (int)q[1]; }
"""


def _prefix(p, n):
    p[:n] = np.cumsum(p[:n])


def _bump(p, q):
    p[0] += int(q[1])


REFERENCES = {"scaled": lambda x, n: x * n, "prefix": _prefix, "bump": _bump}


def _foreign(A, B, Y, Z):
    own = A[:, None] + np.arange(4, dtype=np.float32)
    own[:, 1:] = own[:, 1:].cumsum(1)
    return {"Y": np.stack([A * 3 + A * 2, own[:, 3]]), "Z": Z + np.roll(B, -1).astype(np.int32)}


@CASES.computes(
    _foreign,
    given(
        A=drawn(integers, 64, dtype="float32"), B=drawn(integers, 64, dtype="float32"), Y=zeros(2, 64),
        Z=drawn(integers, 64),
    ),
    ptx=(".visible .entry foreign_functions",),
)  # fmt: skip
def foreign_functions(
    A: T.Tensor((64,), "float32"),
    B: T.Tensor((64,), "float32"),
    Y: T.Tensor((2, 64), "float32"),
    Z: T.Tensor((64,), "int32"),
):
    T.import_source(SOURCE, REFERENCES)
    with T.Kernel(1, threads=64):
        N = T.alloc_shared((65,), "float32")  # a macro of the user's text has that name
        for i in T.Parallel(64):
            scaled = T.call_extern("float32", "scaled", A[i], T.int32(3))
            Y[0, i] = scaled + T.call_pure_extern("float32", "scaled", A[i], T.int32(2))
        for i in T.Parallel(65):
            N[i] = B[i % 64]
        t = T.get_thread_binding()
        own = T.alloc_local((4,), "float32")
        for i in T.serial(4):
            own[i] = A[t] + i
        T.call_extern("handle", "prefix", T.address_of(own[1]), T.int32(3))
        Y[1, t] = own[3]
        T.sync_threads()
        T.call_extern("handle", "bump", T.address_of(Z[t]), T.address_of(N[t]))


@CASES.computes(
    lambda A, B: {
        "A": np.cumsum(A.reshape(8, 8), 1, dtype=np.float32).reshape(4, 2, 8),
        "B": B + np.arange(1, 33, dtype=np.int32),
    },
    given(A=drawn(integers, 4, 2, 8, dtype="float32"), B=zeros(32, dtype="int32")),
    ptx=(".visible .entry accessed",),
)
def accessed(A: T.Tensor((4, 2, 8), "float32"), B: T.Tensor((32,), "int32")):
    T.import_source(SOURCE, REFERENCES)
    with T.Kernel(1, threads=32):
        t = T.get_thread_binding()
        F = T.alloc_shared((33,), "float32")
        F[t + 1] = t + 1
        T.sync_threads()
        T.call_extern("handle", "bump", T.access_ptr(B[t], "rw"), T.tvm_access_ptr("float32", F.data, t, 2, 1))
        if t < 8:
            T.call_extern("handle", "prefix", T.tvm_access_ptr(T.float32, A, t * 8, 8, 3), T.int32(8))


def _scheduled(A, B, C):
    return {"B": A + 1, "C": C + 1}


@CASES.computes(
    _scheduled,
    given(A=drawn(integers, 70, 45), B=zeros(70, 45, dtype="int32"), C=drawn(integers, 70, 45)),
)
def tile_schedulers(A: T.Tensor((70, 45), "int32"), B: T.Tensor((70, 45), "int32"), C: T.Tensor((70, 45), "int32")):
    with T.Kernel(4, threads=32) as block:
        s = T.PersistentTileScheduler("s", T.ceildiv(70, 16), T.ceildiv(45, 8), swizzle_size=4)
        s.init(block)
        tile = T.alloc_fragment((16, 8), "int32")
        while s.valid():
            T.copy(A[s.m_idx * 16, s.n_idx * 8], tile)
            for i, j in T.Parallel(16, 8):
                tile[i, j] += 1
            T.copy(tile, B[s.m_idx * 16, s.n_idx * 8])
            s.next_tile()
        rows = T.PersistentTileScheduler("r", T.ceildiv(70, 16), 1, column_major=False, stateful=False)
        for turn in range(2):
            m, n = rows.coord(turn * rows.num_workers + block)
            if m * 16 < 70 and n < 1:
                for i, j in T.Parallel(16, 45):
                    if m * 16 + i < 70:
                        C[m * 16 + i, j] += 1


KERNELS = """
// transposes: __global__ void moved(int) {}
template <class T> __device__ T twice(T x) { return x + x; }
__global__ void __launch_bounds__(64) moved(const float* __restrict__ a, float* b, int rows, int columns) {
  extern __shared__ float tile[];
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  int at = threadIdx.y * blockDim.x + threadIdx.x;
  if (x < columns && y < rows) {
    tile[at] = twice(a[y * columns + x]);
    b[x * rows + y] = tile[at];
  }
}
"""


def _moved(a, b, rows, columns):
    assert a.shape == (rows, columns) and rows.dtype == np.int32
    b[...] = 2 * a.T


@CASES.computes(
    lambda A, B, C: {"B": 2 * A.T, "C": 2 * A.T + 1},
    given(A=drawn(integers, 37, 21, dtype="float32"), B=zeros(21, 37), C=zeros(21, 37)),
    ptx=(".visible .entry moved(", "bar.sync", ".extern .shared"),
)
def cuda_kernel(
    A: T.Tensor((T.dynamic("rows"), T.dynamic("columns")), "float32"),
    B: T.Tensor((T.dynamic("columns"), T.dynamic("rows")), "float32"),
    C: T.Tensor((T.dynamic("columns"), T.dynamic("rows")), "float32"),
):
    rows, columns = T.dynamic("rows, columns")
    T.CUDASourceCodeKernel(
        T.ceildiv(columns, 16), T.ceildiv(rows, 4), threads=(16, 4), source_code_or_path=KERNELS, entry_name="moved",
        args=[A, B, rows, columns], shared_bytes=256, reference=_moved,
    )  # fmt: skip
    with T.Kernel(T.ceildiv(rows * columns, 128), threads=128) as b:
        copied = T.alloc_shared((128,), "float32")
        for i in T.Parallel(128):
            if b * 128 + i < rows * columns:
                copied[i] = B[(b * 128 + i) // rows, (b * 128 + i) % rows]
        for i in T.Parallel(128):
            if b * 128 + (i ^ 1) < rows * columns:
                C[(b * 128 + (i ^ 1)) // rows, (b * 128 + (i ^ 1)) % rows] = copied[i ^ 1] + 1


@CASES.computes(
    lambda p, q, n, B: {"q": np.concatenate([(p[: n * 8].reshape(n, 8) * 2).reshape(-1), q[n * 8 :]])},
    given(p=drawn(integers, 100), q=drawn(integers, 90), n=11, B=zeros(8, dtype="int32")),
    ptx=("ld.global",),
)
def pointers(p: T.ptr, q: T.ptr("int32"), n: T.int32, B: T.Tensor((8,), "int32")):
    X = T.make_tensor(p, (n, 8), "int32")
    Y = T.make_tensor(q, (n, 4, 2), strides=(8, 2, 1))
    with T.Kernel(T.ceildiv(n, 4), threads=32) as b:
        V = T.make_tensor(X, (n, 2, 4))
        for i, j in T.Parallel(4, 8):
            if b * 4 + i < n:
                Y[b * 4 + i, j // 2, j % 2] = X[b * 4 + i, j] + V[b * 4 + i, j // 4, j % 4]
