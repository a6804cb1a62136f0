"""c = B a, a matrix by a vector, in six ways to share the sums out among threads."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main


def naive(N, K, block_N=128, block_K=128, num_stages=3):
    """A thread for each row, which reads its row from tiles in shared memory."""
    width = 8  # elements of an access to shared memory

    @tiledsl.kernel(out_idx=-1)
    def naive(A: T.Tensor((K,), T.float16), B: T.Tensor((N, K), T.float16), C: T.Tensor((N,), T.float16)):
        with T.Kernel(T.ceildiv(N, block_N), threads=block_N) as bn:
            row = T.get_thread_binding()
            A_shared = T.alloc_shared((block_K,), T.float16)
            B_shared = T.alloc_shared((block_N, block_K), T.float16)
            a = T.alloc_local((width,), T.float16)
            b = T.alloc_local((width,), T.float16)
            total = T.alloc_local((1,), T.float32)
            T.annotate_layout({B_shared: T.make_swizzled_layout(B_shared)})
            total[0] = 0.0
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[k * block_K], A_shared)
                T.copy(B[bn * block_N, k * block_K], B_shared)
                for i in T.serial(block_K // width):
                    for v in T.vectorized(width):
                        a[v] = A_shared[i * width + v]
                        b[v] = B_shared[row, i * width + v]
                    for v in T.unroll(width):
                        total[0] += T.cast(a[v], T.float32) * T.cast(b[v], T.float32)
            if bn * block_N + row < N:
                C[bn * block_N + row] = total[0]

    return naive


def split(N, K, block_N=2, lanes=32, width=8, allreduce=False):
    """Some threads for each row, each of which sums every so many parts of `width` elements of it.

    Their sums are added in shared memory, one after the other, or exchanged (`allreduce`). Neighbours read neighbours.
    """

    @tiledsl.kernel(out_idx=-1)
    def split(A: T.Tensor((K,), T.float16), B: T.Tensor((N, K), T.float16), C: T.Tensor((N,), T.float16)):
        with T.Kernel(T.ceildiv(N, block_N), threads=(lanes, block_N)) as bn:
            lane = T.get_thread_binding(0)
            row = T.get_thread_binding(1)
            a = T.alloc_local((width,), T.float16)
            b = T.alloc_local((width,), T.float16)
            total = T.alloc_local((1,), T.float32)
            total[0] = 0.0
            for k in T.serial(T.ceildiv(K, lanes * width)):
                for v in T.vectorized(width):
                    a[v] = A[(k * lanes + lane) * width + v]
                    b[v] = B[bn * block_N + row, (k * lanes + lane) * width + v]
                for v in T.unroll(width):
                    total[0] += T.cast(a[v], T.float32) * T.cast(b[v], T.float32)
            if allreduce:
                total[0] = T.thread_allreduce(total[0], lane)
            else:
                sums = T.alloc_shared((block_N,), T.float32)
                if lane == 0:
                    sums[row] = 0.0
                T.atomic_add(sums[row], total[0])
                total[0] = sums[row]
            if lane == 0 and bn * block_N + row < N:
                C[bn * block_N + row] = total[0]

    return split


def by_reducer(N, K, block_N=128, block_K=128, num_stages=2, threads=256):
    """Tiles in fragments; each thread sums what it has of each row, and the sums are combined once, at the end."""

    @tiledsl.kernel(out_idx=-1)
    def by_reducer(A: T.Tensor((K,), T.float16), B: T.Tensor((N, K), T.float16), C: T.Tensor((N,), T.float16)):
        with T.Kernel(T.ceildiv(N, block_N), threads=threads) as bn:
            B_shared = T.alloc_shared((block_N, block_K), T.float16)
            b = T.alloc_fragment((block_N, block_K), T.float16)
            a = T.alloc_fragment((block_K,), T.float16)
            total = T.alloc_reducer((block_N,), T.float32, "sum", replication="all")
            T.clear(total)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(B[bn * block_N, k * block_K], B_shared)
                T.copy(B_shared, b)
                T.copy(A[k * block_K], a)
                for i, j in T.Parallel(block_N, block_K):
                    total[i] += T.cast(b[i, j], T.float32) * T.cast(a[j], T.float32)
            T.finalize_reducer(total)
            T.copy(total, C[bn * block_N])

    return by_reducer


KERNELS = {
    "naive": naive,
    "naive-split": lambda N, K: split(N, K, 32, 32, 1),
    "split": lambda N, K: split(N, K, 32, 32, 2),
    "split-vectorised": split,
    "split-allreduce": lambda N, K: split(N, K, allreduce=True),
    "reducer": by_reducer,
}


def reference(A, B):
    """In float64, rounded once."""
    return {"C": (B.astype(np.float64) @ A.astype(np.float64)).astype(np.float16)}


def rows():
    def case(way, N, K):
        return Case(
            f"example-gemv-{way}-{N}x{K}",
            KERNELS[way](N, K),
            lambda draw: {"A": draw(K), "B": draw(N, K)},
            reference,
            rtol=2e-3,
            atol=2e-3,
        )

    yield Row(
        "example_gemv",
        "c = B a, float16, 1024 x 1024, in six ways",
        timed=tuple(case(way, 1024, 1024) for way in KERNELS),
        reduced=tuple(case(way, *size) for way in KERNELS for size in ((128, 256), (70, 328))),
        tilelang=(0.0655,),
    )


if __name__ == "__main__":
    main(rows())
