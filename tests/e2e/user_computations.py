"""More small kernels as users write them: reductions, scans, atomics, control flow, several launches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from user_kernels import numbers, zeros

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

# ------------------------------------------------------------------------------------------------ reductions and scans


def reduced(shape, dim, op, dtype, threads, where, clear=True):
    """Any dimension of tiles of any rank, from fragments and from shared memory."""
    kept = shape[:dim] + shape[dim + 1 :]

    @tiledsl.kernel
    def reduced(A: T.Tensor(shape, dtype), R: T.Tensor(kept, dtype)):
        with T.Kernel(1, threads=threads):
            x = T.alloc_fragment(shape, dtype) if where == "fragment" else T.alloc_shared(shape, dtype)
            r = T.alloc_fragment(kept, dtype)
            T.copy(A, x)
            T.copy(R, r)
            T.reduce(x, r, op, dim=dim, clear=clear)
            T.copy(r, R)

    def reference(A, R):
        fold = {"sum": np.add, "absmax": np.maximum, "min": np.minimum, "bitxor": np.bitwise_xor}[op]
        out = fold.reduce(np.abs(A) if op == "absmax" else A, axis=dim)
        return {"R": (out if clear else fold(R, out)).astype(A.dtype)}

    return Case(
        f"reduce-{op}-{'x'.join(map(str, shape))}-dim{dim}-{dtype}-{threads}-{where}",
        reduced,
        lambda draw: {"A": numbers(draw, *shape, dtype=dtype), "R": numbers(draw, *kept, dtype=dtype)},
        reference,
    )


def scanned(M, N, dim, reverse, threads, where):
    """Lines whose length is no multiple of a warp, along rows and along columns."""

    @tiledsl.kernel
    def scanned(A: T.Tensor((M, N), "float32"), C: T.Tensor((M, N), "float32")):
        with T.Kernel(1, threads=threads):
            x = T.alloc_fragment((M, N), "float32") if where == "fragment" else T.alloc_shared((M, N), "float32")
            T.copy(A, x)
            T.cumsum(x, dim=dim, reverse=reverse)
            T.copy(x, C)

    def reference(A, C):
        turned = np.flip(A, dim) if reverse else A
        out = np.cumsum(turned, dim)
        return {"C": np.flip(out, dim) if reverse else out}

    return Case(
        f"scan-{M}x{N}-dim{dim}-{threads}-{where}",
        scanned,
        lambda draw: {"A": numbers(draw, M, N), "C": zeros(M, N)},
        reference,
    )


def top_k():
    """The largest three of each row, with their places: reductions of values and of indices in a serial loop."""

    @tiledsl.kernel
    def top(X: T.Tensor((24, 64), "float32"), V: T.Tensor((24, 3), "float32"), P: T.Tensor((24, 3), "int32")):
        with T.Kernel(3, threads=64) as b:
            x, largest = T.alloc_fragment((8, 64), "float32"), T.alloc_fragment((8,), "float32")
            at, first = T.alloc_fragment((8, 64), "int32"), T.alloc_fragment((8,), "int32")
            T.copy(X[b * 8, 0], x)
            for k in T.serial(3):
                T.reduce_max(x, largest, dim=1)
                for i, j in T.Parallel(8, 64):
                    at[i, j] = T.if_then_else(x[i, j] == largest[i], j, 64)
                T.reduce_min(at, first, dim=1)
                for i, j in T.Parallel(8, 64):
                    x[i, j] = T.if_then_else(j == first[i], -T.infinity("float32"), x[i, j])
                for i in T.Parallel(8):
                    V[b * 8 + i, k] = largest[i]
                    P[b * 8 + i, k] = first[i]

    def reference(X, V, P):
        order = np.argsort(-X, axis=1, kind="stable")[:, :3]
        return {"V": np.take_along_axis(X, order, 1), "P": order.astype(np.int32)}

    def inputs(draw):
        return {"X": numbers(draw, 24, 64), "V": zeros(24, 3), "P": zeros(24, 3, dtype="int32")}

    return Case("top-k", top, inputs, reference)


def two_launches(m):
    """Partial sums in a workspace of run-time size, then their sum; also of no rows at all."""
    rows = T.dynamic("rows")

    @tiledsl.kernel(out_idx=-1)
    def total(A: T.Tensor((rows, 64), "float32"), scale: T.float32, C: T.Tensor((64,), "float32")):
        W = T.alloc_global((T.ceildiv(rows, 16), 64), "float32")
        with T.Kernel(T.ceildiv(rows, 16), threads=64) as b:
            f, r = T.alloc_fragment((16, 64), "float32"), T.alloc_fragment((64,), "float32")
            T.copy(A[b * 16, 0], f)
            T.reduce_sum(f, r, dim=0)
            T.copy(r, W[b, 0])
        with T.Kernel(1, threads=96):
            acc = T.alloc_fragment((64,), "float32")
            T.clear(acc)
            for t in T.serial(T.ceildiv(rows, 16)):
                for j in T.Parallel(64):
                    acc[j] += W[t, j] * scale
            T.copy(acc, C)

    return Case(
        f"two-launches-{m}",
        total,
        lambda draw: {"A": numbers(draw, m, 64), "scale": np.float32(2)},
        lambda A, scale: {"C": A.sum(0) * scale},
    )


# -------------------------------------------------------------------------------------------------------------- atomics


def histogram():
    """Counts in shared memory, then in global memory; old values as places to write to."""

    @tiledsl.kernel
    def histogram(A: T.Tensor((1000,), "int32"), H: T.Tensor((10,), "int32"), Count: T.Tensor((1,), "int32"),
                  Sevens: T.Tensor((1000,), "int32")):  # fmt: skip
        with T.Kernel(4, threads=96) as b:
            h = T.alloc_shared((10,), "int32")
            T.clear(h)
            for i in T.Parallel(250):
                value = A[b * 250 + i]
                T.atomic_add(h[value], 1)
                if value == 7:
                    place = T.atomic_add(Count[0], 1, return_prev=True)
                    Sevens[place] = value
            for i in T.Parallel(10):
                T.atomic_add(H[i], h[i])

    def reference(A, H, Count, Sevens):
        n = int((A == 7).sum())
        found = np.zeros(1000, np.int32)
        found[:n] = 7
        return {"H": np.bincount(A, minlength=10).astype(np.int32), "Count": np.array([n], np.int32), "Sevens": found}

    def inputs(draw):
        made = {"A": draw.rng.integers(0, 10, 1000).astype(np.int32), "H": zeros(10, dtype="int32")}
        return {**made, "Count": zeros(1, dtype="int32"), "Sevens": zeros(1000, dtype="int32")}

    return Case("histogram", histogram, inputs, reference)


def atomic_tiles(op, dtype):
    """Tiles of several blocks combined in one place, at partial tiles."""

    @tiledsl.kernel
    def combine(A: T.Tensor((40, 48), dtype), S: T.Tensor((16, 48), dtype)):
        with T.Kernel(3, 3, threads=96) as (bx, by):
            f = T.alloc_fragment((16, 16), dtype)
            T.copy(A[by * 16, bx * 16], f)
            getattr(T, f"atomic_{op}")(S[0, bx * 16], f)

    def reference(A, S):
        update = {"add": np.add, "max": np.maximum, "min": np.minimum}[op]
        padded, out = np.zeros((48, 48), A.dtype), S
        padded[:40] = A
        for part in np.split(padded, 3):
            out = update(out, part).astype(A.dtype)
        return {"S": out}

    return Case(
        f"atomic-{op}-{dtype}",
        combine,
        lambda draw: {"A": numbers(draw, 40, 48, dtype=dtype), "S": numbers(draw, 16, 48, dtype=dtype)},
        reference,
    )


# --------------------------------------------------------------------------------------------- control flow and threads


def tree():
    """Sums in halves: the condition and the partner depend on a variable."""

    @tiledsl.kernel
    def tree(A: T.Tensor((256,), "float32"), C: T.Tensor((1,), "float32")):
        with T.Kernel(1, threads=64):
            s = T.alloc_shared((256,), "float32")
            T.copy(A, s)
            n = T.alloc_var("int32", 128)
            while n > 0:
                for i in T.Parallel(128):
                    if i < n:
                        s[i] = s[i] + s[i + n]
                n = n // 2
            C[0] = s[0]

    return Case(
        "tree",
        tree,
        lambda draw: {"A": numbers(draw, 256), "C": zeros(1)},
        lambda A, C: {"C": A.sum(keepdims=True)},
    )


def branches():
    """Conditions on blocks, run-time scalars, points and data, around and inside of T.Parallel."""

    @tiledsl.kernel
    def branches(A: T.Tensor((96, 40), "float32"), C: T.Tensor((96, 40), "float32"), n: T.int32):
        with T.Kernel(3, threads=64) as b:
            f, s = T.alloc_fragment((32, 40), "float32"), T.alloc_shared((32, 40), "float32")
            T.copy(A[b * 32, 0], s)
            if b == 1:
                T.copy(s, f)
                for i, j in T.Parallel(32, 40):
                    f[i, j] = f[i, j] * 2
            elif b < n:
                T.fill(f, 5)
            else:
                for i, j in T.Parallel(32, 40):
                    if i > j:
                        f[i, j] = 1
                    elif A[b * 32 + i, j] > 0:
                        f[i, j] = 2
                    else:
                        f[i, j] = s[31 - i, j]
            T.copy(f, C[b * 32, 0])

    def reference(A, C, n):
        i, j, last = np.arange(32)[:, None], np.arange(40), A[64:]
        third = np.where(i > j, 1, np.where(last > 0, 2, last[::-1]))
        return {"C": np.concatenate([np.full((32, 40), 5), A[32:64] * 2, third]).astype(np.float32)}

    return Case(
        "branches",
        branches,
        lambda draw: {"A": numbers(draw, 96, 40), "C": zeros(96, 40), "n": np.int32(1)},
        reference,
    )


def loops():
    """while, break, continue, a loop of run-time length around tile statements, and a reversed one."""

    @tiledsl.kernel
    def loops(A: T.Tensor((9, 32), "float32"), L: T.Tensor((1,), "int32"), C: T.Tensor((2, 32), "float32")):
        with T.Kernel(1, threads=64):
            f, s = T.alloc_fragment((32,), "float32"), T.alloc_shared((32,), "float32")
            T.clear(f)
            for i in range(L[0]):
                if i % 3 == 1:
                    continue
                T.copy(A[i, :], s)
                for j in T.Parallel(32):
                    f[j] = f[j] + s[31 - j]
                if i == 6:
                    break
            T.copy(f, C[0, :])
            steps, value = T.alloc_var("int32", 0), T.alloc_var("int32", 27)
            while value != 1:
                value = T.if_then_else(value % 2 == 0, value // 2, 3 * value + 1)
                steps = steps + 1
            for i in range(8, -1, -4):
                for j in T.Parallel(32):
                    f[j] = f[j] * 2 + A[i, j]
            for j in T.Parallel(32):
                C[1, j] = f[j] + steps

    def reference(A, L, C):
        first = sum(A[i, ::-1] for i in (0, 2, 3, 5, 6))
        return {"C": np.stack([first, ((first * 2 + A[8]) * 2 + A[4]) * 2 + A[0] + 111])}

    return Case(
        "loops",
        loops,
        lambda draw: {"A": numbers(draw, 9, 32), "L": np.array([8], np.int32), "C": zeros(2, 32)},
        reference,
    )


def by_threads():
    """Code for single threads: thread numbers, private arrays, barriers, exchanges of 64-bit values in warps."""

    @tiledsl.kernel
    def threads(A: T.Tensor((1000,), "int64"), R: T.Tensor((4,), "int64"), S: T.Tensor((128,), "int64")):
        with T.Kernel(4, threads=128) as b:
            tx = T.get_thread_binding(0)
            mine, sums = T.alloc_local((2,), "int64"), T.alloc_shared((4,), "int64")
            for q in T.unroll(2):
                i = b * 256 + q * 128 + tx
                mine[q] = T.if_then_else(i < 1000, A[T.min(i, 999)], 0)
            total = T.warp_reduce_sum(mine[0] + mine[1])
            if tx % 32 == 0:
                sums[tx // 32] = total
            T.sync_threads()
            if tx == 0:
                R[b] = sums[0] + sums[1] + sums[2] + sums[3]
            down, up = T.shfl_down(mine[0], 2), T.shfl_up(mine[0], 1)
            turned, fifth = T.shfl_xor(mine[0], 1), T.shfl(mine[0], 5)
            if b == 0:
                S[tx] = turned + down * 2 + up * 4 + fifth * 8

    def reference(A, R, S):
        padded, lane = np.zeros(1024, np.int64), np.arange(32)
        padded[:1000] = A
        warps = padded[:128].reshape(4, 32)
        down, up = np.where(lane < 30, lane + 2, lane), np.where(lane, lane - 1, lane)
        mixed = warps[:, lane ^ 1] + warps[:, down] * 2 + warps[:, up] * 4 + warps[:, [5]] * 8
        return {"R": padded.reshape(4, 256).sum(1), "S": mixed.reshape(-1)}

    def inputs(draw):
        A = draw.rng.integers(-(2**40), 2**40, 1000)
        return {"A": A, "R": zeros(4, dtype="int64"), "S": zeros(128, dtype="int64")}

    return Case("by-threads", threads, inputs, reference)


def computation() -> Iterator[Case]:
    yield reduced((8, 16, 32), 1, "sum", "float32", 96, "fragment")
    yield reduced((3, 24, 40), 1, "absmax", "int64", 64, "fragment")
    yield reduced((2, 3, 4, 16), 2, "min", "float64", 128, "fragment")
    yield reduced((64, 32), 1, "sum", "float32", 64, "shared", clear=False)
    yield reduced((96, 24), 0, "bitxor", "int32", 256, "shared")
    yield scanned(3, 100, 1, True, 256, "fragment")
    yield scanned(24, 40, 0, False, 128, "shared")
    yield scanned(64, 64, 0, True, 32, "fragment")
    yield from (top_k(), two_launches(0), two_launches(50), histogram())
    yield atomic_tiles("max", "int64")
    yield atomic_tiles("min", "float16")
    yield atomic_tiles("add", "int32")
    yield from (tree(), branches(), loops(), by_threads())
