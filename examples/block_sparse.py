"""Block-sparse matrix products for Hopper (sm_90a): blocks named by a mask or by lists of their numbers.

What is copied depends on tensors. The compiler has the threads that copy read those themselves, through however many
names the numbers come: `warp_plans` of the traced kernel shows what they copy.
"""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case


def gemm_masked(M, N, K, block=(128, 128, 64), num_stages=3, threads=256, specialise=True):
    """C = A B over the (M, N, K) blocks that the mask names; others are neither loaded nor multiplied.

    Without `specialise` all threads of a block do the same work.
    """
    block_M, block_N, block_K = block
    mask_shape = (-(-M // block_M), -(-N // block_N), -(-K // block_K))

    @tiledsl.kernel(out_idx=-1, options={"warp-specialise": {"enabled": specialise}})
    def gemm_masked(
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

    return gemm_masked


def gemm_listed(M, N, K, names=1, block=(128, 128, 64), num_stages=3, threads=256, specialise=True):
    """C = A B over the blocks along K whose numbers stand in Blocks[by, bx, 0 : Counts[by, bx]].

    `names` is how many names a number of the list goes through before it says what to copy: none, one, or two of which
    the second is made of the first.
    """
    block_M, block_N, block_K = block
    grid = (-(-M // block_M), -(-N // block_N))

    @tiledsl.kernel(out_idx=-1, options={"warp-specialise": {"enabled": specialise}})
    def gemm_listed(
        A: T.Tensor((M, K), T.float16),
        B: T.Tensor((K, N), T.float16),
        Counts: T.Tensor(grid, T.int32),
        Blocks: T.Tensor((*grid, -(-K // block_K)), T.int32),
        C: T.Tensor((M, N), T.float16),
    ):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for n in T.Pipelined(Counts[by, bx], num_stages=num_stages):
                if names == 0:
                    T.copy(A[by * block_M, Blocks[by, bx, n] * block_K], A_shared)
                    T.copy(B[Blocks[by, bx, n] * block_K, bx * block_N], B_shared)
                elif names == 1:
                    k = Blocks[by, bx, n]
                    T.copy(A[by * block_M, k * block_K], A_shared)
                    T.copy(B[k * block_K, bx * block_N], B_shared)
                else:
                    k = Blocks[by, bx, n]
                    first = k * block_K
                    T.copy(A[by * block_M, first], A_shared)
                    T.copy(B[first, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm_listed


def copy_listed(rows, columns, count, names=1, block=64, num_stages=2, threads=128, specialise=True):
    """The blocks of rows whose numbers are listed, one after the other; where a number is negative, zeros."""

    @tiledsl.kernel(out_idx=-1, options={"warp-specialise": {"enabled": specialise}})
    def copy_listed(
        A: T.Tensor((rows, columns), T.float16),
        Blocks: T.Tensor((count,), T.int32),
        C: T.Tensor((count * block, columns), T.float16),
    ):
        with T.Kernel(T.ceildiv(columns, block), threads=threads) as bx:
            A_shared = T.alloc_shared((block, block), T.float16)
            part = T.alloc_fragment((block, block), T.float16)
            for n in T.Pipelined(count, num_stages=num_stages):
                T.clear(part)
                if Blocks[n] >= 0:
                    if names == 0:
                        T.copy(A[Blocks[n] * block, bx * block], A_shared)
                    elif names == 1:
                        number = Blocks[n]
                        T.copy(A[number * block, bx * block], A_shared)
                    else:
                        number = Blocks[n]
                        first = number * block
                        T.copy(A[first, bx * block], A_shared)
                    T.copy(A_shared, part)
                T.copy(part, C[n * block, bx * block])

    return copy_listed


def blocks_of(mask):
    """How many blocks each tile has, and their numbers: the form of `gemm_listed`."""
    blocks = np.zeros(mask.shape, np.int32)
    for i, j in np.ndindex(mask.shape[:2]):
        chosen = np.flatnonzero(mask[i, j])
        blocks[i, j, : len(chosen)] = chosen
    return {"Counts": mask.sum(axis=2).astype(np.int32), "Blocks": blocks}


def masked_reference(A, B, Mask, block=(128, 64, 64)):
    out = np.zeros((A.shape[0], B.shape[1]))
    for at in zip(*np.nonzero(Mask)):
        rows, columns, depth = (slice(x * b, (x + 1) * b) for x, b in zip(at, block))
        out[rows, columns] += A[rows, depth].astype(np.float64) @ B[depth, columns].astype(np.float64)
    return {"C": out.astype(np.float16)}


def listed_reference(A, B, Counts, Blocks):
    mask = np.zeros(Blocks.shape, bool)
    for i, j in np.ndindex(Counts.shape):
        mask[i, j, Blocks[i, j, : Counts[i, j]]] = True
    return masked_reference(A, B, mask)


def copied_reference(A, Blocks, block=64):
    parts = [A[n * block : (n + 1) * block] if n >= 0 else np.zeros((block, A.shape[1]), A.dtype) for n in Blocks]
    return {"C": np.concatenate(parts)}


def cases():
    M, N, K = 256, 72, 264
    block = (128, 64, 64)

    def masked(draw):
        mask = draw.rng.random((2, 2, 5)) < 0.6
        mask[0, 0], mask[1, 0] = False, True  # a tile without blocks, and one with more of them than slots
        return {"A": draw(M, K), "B": draw(K, N), "Mask": mask}

    def listed(draw):
        found = masked(draw)
        return {"A": found["A"], "B": found["B"], **blocks_of(found["Mask"])}

    def copied(draw):
        return {"A": draw(256, 96), "Blocks": np.array([3, -1, 0, 0, 2, -1, 1], np.int32)}

    for specialise in (True, False):
        how = "roles" if specialise else "one-role"
        yield Case(
            f"block-sparse-mask-{how}", gemm_masked(M, N, K, block, 2, specialise=specialise), masked, masked_reference,
            targets=("sm_90a",),
        )  # fmt: skip
        for names in (0, 1, 2):
            yield Case(
                f"block-sparse-list-{names}-names-{how}", gemm_listed(M, N, K, names, block, 2, specialise=specialise),
                listed, listed_reference, targets=("sm_90a",),
            )  # fmt: skip
            yield Case(
                f"block-sparse-copy-{names}-names-{how}", copy_listed(256, 96, 7, names, specialise=specialise),
                copied, copied_reference, targets=("sm_90a",),
            )  # fmt: skip
