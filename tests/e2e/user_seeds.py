"""The kernels of the acceptance list: algorithms.md G8 (#1484, #1525), C.3 and C.4, as a user writes them."""

import numpy as np

import tiledsl
import tiledsl.language as T

f32 = np.float32
ROWS, WIDTH, COUNT = 8, 32, 6
INDEX = np.array([3, -1, 0, 5, -1, 3], np.int32)


def inputs(draw):
    return {"A": draw(ROWS * COUNT, WIDTH, dtype=f32), "Mask": INDEX, "B": np.zeros((ROWS * COUNT, WIDTH), f32)}


def sparse_rows(A, Mask, B):
    tiles, out = A.reshape(COUNT, ROWS, WIDTH), np.zeros((COUNT, ROWS, WIDTH), f32)
    for i, a in enumerate(Mask):
        if a >= 0:
            out[i] = tiles[a]
    return {"B": out.reshape(A.shape)}


def sparse_copy(lets: int, by_threads: bool):
    """#1484: the mask is a fragment, read through `lets` nested binds, by a bulk copy or element by element."""

    @tiledsl.kernel
    def sparse_copy(
        A: T.Tensor((ROWS * COUNT, WIDTH), T.float32),
        Mask: T.Tensor((COUNT,), T.int32),
        B: T.Tensor((ROWS * COUNT, WIDTH), T.float32),
    ):
        with T.Kernel(1, threads=64):
            mask = T.alloc_fragment((COUNT,), T.int32)
            tile = T.alloc_shared((ROWS, WIDTH), T.float32)
            T.copy(Mask, mask)
            for i in T.Pipelined(COUNT, num_stages=2):
                first = mask[i] + 0
                at = first * ROWS if lets == 1 else (first + 1) * ROWS
                row = at if lets == 1 else at - ROWS
                if first >= 0:
                    if by_threads:
                        for r, c in T.Parallel(ROWS, WIDTH):
                            tile[r, c] = A[row + r, c]
                    else:
                        T.copy(A[row : row + ROWS, :], tile)
                    T.copy(tile, B[i * ROWS, 0])

    return sparse_copy, inputs, sparse_rows


def seed_1484_one_let():
    return sparse_copy(1, False)


def seed_1484_two_lets():
    return sparse_copy(2, False)


def seed_1484_by_threads():
    return sparse_copy(2, True)


def seed_1525_nested_allocations():
    """A tile of the kernel, one of the loop body, one of a branch, one that nobody uses, and a bind on the loop."""

    @tiledsl.kernel(out_idx=-1)
    def nested_allocations(A: T.Tensor((ROWS * COUNT, WIDTH), T.float32), C: T.Tensor((ROWS, WIDTH), T.float32)):
        with T.Kernel(1, threads=64):
            outer = T.alloc_shared((ROWS, WIDTH), T.float32)
            T.alloc_shared((ROWS, WIDTH), T.float32)
            total = T.alloc_fragment((ROWS, WIDTH), T.float32)
            T.clear(total)
            for i in T.Pipelined(COUNT, num_stages=3):
                row = i * ROWS
                last = (COUNT - 1) * ROWS - row
                inner = T.alloc_shared((ROWS, WIDTH), T.float32)
                T.copy(A[row, 0], outer)
                T.copy(A[last, 0], inner)
                if i % 2 == 0:
                    third = T.alloc_shared((ROWS, WIDTH), T.float32)
                    T.copy(A[row, 0], third)
                    for r, c in T.Parallel(ROWS, WIDTH):
                        total[r, c] += third[ROWS - 1 - r, c]
                for r, c in T.Parallel(ROWS, WIDTH):
                    total[r, c] += outer[r, c] * (i + 1) - inner[r, c]
            T.copy(total, C)

    def reference(A):
        tiles = A.reshape(COUNT, ROWS, WIDTH)
        weights = np.arange(1, COUNT + 1)[:, None, None]
        turned = tiles[::2, ::-1].sum(0)
        return {"C": (turned + (tiles * weights).sum(0) - tiles.sum(0)).astype(f32)}

    return nested_allocations, lambda draw: {"A": draw(ROWS * COUNT, WIDTH, dtype=f32)}, reference


PROGRAMS = (seed_1484_one_let, seed_1484_two_lets, seed_1484_by_threads, seed_1525_nested_allocations)
