"""Pipelined loops as users write them: index loads, conditions, tiles carried or read afterwards, global exchange."""

import numpy as np

import tiledsl
import tiledsl.language as T

f16, f32 = np.float16, np.float32


def gathered_pages():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), Idx: T.Tensor((6,), T.int32), C: T.Tensor((48, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            for i in T.Pipelined(6, num_stages=3):
                p = Idx[i]
                T.copy(K[p * 8 : (p + 1) * 8, :], s)
                T.copy(s, C[i * 8 : (i + 1) * 8, :])

    idx = np.array([3, 0, 7, 7, 2, 5], np.int32)
    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32), "Idx": idx},
        lambda K, Idx: {"C": K.reshape(8, 8, 32)[Idx].reshape(48, 32)},
    )


def gathered_by_shared_index():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), Idx: T.Tensor((6, 4), T.int32), C: T.Tensor((48, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            ix = T.alloc_shared((4,), T.int32)
            for i in T.Pipelined(6, num_stages=2):
                T.copy(Idx[i, 0:4], ix)
                T.copy(K[ix[1] * 8, 0], s)
                T.copy(s, C[i * 8, 0])

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32), "Idx": d.rng.integers(0, 8, (6, 4)).astype(np.int32)},
        lambda K, Idx: {"C": K.reshape(8, 8, 32)[Idx[:, 1]].reshape(48, 32)},
    )


def gathered_rows():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), Idx: T.Tensor((48,), T.int32), C: T.Tensor((48, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            ix = T.alloc_shared((8,), T.int32)
            for i in T.Pipelined(6, num_stages=3):
                T.copy(Idx[i * 8 : (i + 1) * 8], ix)
                for r, c in T.Parallel(8, 32):
                    s[r, c] = K[ix[r], c]
                T.copy(s, C[i * 8, 0])

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32), "Idx": d.rng.integers(0, 64, 48).astype(np.int32)},
        lambda K, Idx: {"C": K[Idx]},
    )


def condition_loaded():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((48, 32), T.float32), M: T.Tensor((6,), T.bool), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            for i in T.Pipelined(6, num_stages=3):
                if M[i]:
                    T.copy(K[i * 8, 0], s)
                    for a, b in T.Parallel(8, 32):
                        c[a, b] += s[a, b]
                else:
                    for a, b in T.Parallel(8, 32):
                        c[a, b] -= 1.0
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(48, 32, dtype=f32), "M": np.array([1, 0, 0, 1, 1, 0], bool)},
        lambda K, M: {"C": (K.reshape(6, 8, 32)[M].sum(0) - (~M).sum()).astype(f32)},
    )


def condition_of_the_loop():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((48, 32), T.float32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            for i in T.Pipelined(6, num_stages=3):
                if i % 2 == 0:
                    T.copy(K[i * 8, 0], s)
                for a, b in T.Parallel(8, 32):
                    c[a, b] += s[a, b]
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(48, 32, dtype=f32)},
        lambda K: {"C": (2 * K.reshape(6, 8, 32)[::2].sum(0)).astype(f32)},
    )


def two_sources():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((48, 32), T.float32), L: T.Tensor((48, 32), T.float32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            for i in T.Pipelined(6, num_stages=3):
                if i < 3:
                    T.copy(K[i * 8, 0], s)
                else:
                    T.copy(L[i * 8, 0], s)
                for a, b in T.Parallel(8, 32):
                    c[a, b] += s[a, b] * (i + 1)
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(48, 32, dtype=f32), "L": d(48, 32, dtype=f32)},
        lambda K, L: {"C": sum((K if i < 3 else L).reshape(6, 8, 32)[i] * (i + 1) for i in range(6)).astype(f32)},
    )


def read_after_the_loop():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), P: T.Tensor((64, 32), T.float32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            for i in T.Pipelined(8, num_stages=3):
                T.copy(K[i * 8, 0], s)
                T.copy(s, P[i * 8, 0])
            T.copy(s, C)

    return (k, lambda d: {"K": d(64, 32, dtype=f32), "P": np.zeros((64, 32), f32)}, lambda K, P: {"C": K[56:], "P": K})


def read_after_an_empty_loop():

    @tiledsl.kernel(out_idx=-1)
    def k(
        K: T.Tensor((64, 32), T.float32), P: T.Tensor((64, 32), T.float32), n: T.int32, C: T.Tensor((8, 32), T.float32)
    ):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            T.fill(s, 5.0)
            for i in T.Pipelined(n, num_stages=3):
                T.copy(K[i * 8, 0], s)
                T.copy(s, P[i * 8, 0])
            T.copy(s, C)

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32), "P": np.zeros((64, 32), f32), "n": 0},
        lambda K, P, n: {"C": np.full((8, 32), 5, f32)},
    )


def previous_tile():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), P: T.Tensor((64, 32), T.float32), C: T.Tensor((64, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            T.fill(s, -1.0)
            for i in T.Pipelined(8, num_stages=3):
                T.copy(s, P[i * 8, 0])
                T.copy(K[i * 8, 0], s)
                T.copy(s, C[i * 8, 0])

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32), "P": np.zeros((64, 32), f32)},
        lambda K, P: {"C": K, "P": np.concatenate([np.full((8, 32), -1, f32), K[:56]])},
    )


def nested_pipelines():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), L: T.Tensor((64, 32), T.float32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            u = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            for i in T.Pipelined(3, num_stages=2):
                T.copy(K[i * 8, 0], s)
                for j in T.Pipelined(4, num_stages=3):
                    T.copy(L[j * 8, 0], u)
                    for a, b in T.Parallel(8, 32):
                        c[a, b] += s[a, b] * u[a, b] * (j + 1)
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32), "L": d(64, 32, dtype=f32)},
        lambda K, L: {
            "C": sum(
                K.reshape(8, 8, 32)[i] * L.reshape(8, 8, 32)[j] * (j + 1) for i in range(3) for j in range(4)
            ).astype(f32)
        },
    )


def nested_on_one_buffer():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), L: T.Tensor((64, 32), T.float32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            for i in T.Pipelined(3, num_stages=2):
                T.copy(K[i * 8, 0], s)
                for a, b in T.Parallel(8, 32):
                    c[a, b] += s[a, b]
                for j in T.Pipelined(4, num_stages=3):
                    T.copy(L[j * 8, 0], s)
                    for a, b in T.Parallel(8, 32):
                        c[a, b] += s[a, b] * (j + 1)
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32), "L": d(64, 32, dtype=f32)},
        lambda K, L: {
            "C": sum(
                K.reshape(8, 8, 32)[i] + sum(L.reshape(8, 8, 32)[j] * (j + 1) for j in range(4)) for i in range(3)
            ).astype(f32)
        },
    )


def two_on_one_buffer():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), L: T.Tensor((64, 32), T.float32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            for i in T.Pipelined(5, num_stages=2):
                T.copy(K[i * 8, 0], s)
                for a, b in T.Parallel(8, 32):
                    c[a, b] += s[a, b] * (i + 1)
            for i in T.Pipelined(7, num_stages=4):
                T.copy(L[i * 8, 0], s)
                for a, b in T.Parallel(8, 32):
                    c[a, b] += s[a, b] * (i + 1)
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32), "L": d(64, 32, dtype=f32)},
        lambda K, L: {
            "C": (
                sum(K.reshape(8, 8, 32)[i] * (i + 1) for i in range(5))
                + sum(L.reshape(8, 8, 32)[i] * (i + 1) for i in range(7))
            ).astype(f32)
        },
    )


def through_a_view():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((256,), T.float32)
            v = T.reshape(s, (8, 32))
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            for i in T.Pipelined(8, num_stages=3):
                T.copy(K[i * 8, 0], v)
                for a, b in T.Parallel(8, 32):
                    c[a, b] += v[a, b] * (i + 1)
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32)},
        lambda K: {"C": sum(K.reshape(8, 8, 32)[i] * (i + 1) for i in range(8)).astype(f32)},
    )


def promise_inside():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), I: T.Tensor((8,), T.int32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            for i in T.Pipelined(8, num_stages=3):
                p = I[i]
                T.assume(p >= 0)
                T.assume(p < 8)
                T.copy(K[p * 8, 0], s)
                for a, b in T.Parallel(8, 32):
                    c[a, b] += s[a, b] * (i + 1)
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32), "I": np.array([1, 3, 5, 7, 0, 2, 4, 6], np.int32)},
        lambda K, I: {"C": sum(K.reshape(8, 8, 32)[I[i]] * (i + 1) for i in range(8)).astype(f32)},
    )


def ticket_taken_once():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), N: T.Tensor((32,), T.int32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            t = T.get_thread_binding()
            for i in T.Pipelined(8, num_stages=3):
                old = T.atomic_add(N[t], 1, return_prev=True)
                T.copy(K[i * 8, 0], s)
                for a, b in T.Parallel(8, 32):
                    c[a, b] += s[a, b] * (i + 1)
                N[t] = old + 1
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32), "N": np.zeros(32, np.int32)},
        lambda K, N: {
            "C": sum(K.reshape(8, 8, 32)[i] * (i + 1) for i in range(8)).astype(f32),
            "N": np.full(32, 8, np.int32),
        },
    )


def linked_list():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), I: T.Tensor((8,), T.int32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            pos = T.alloc_var(T.int32, init=0)
            for i in T.Pipelined(8, num_stages=3):
                T.copy(K[pos * 8, 0], s)
                pos = I[pos]
                for a, b in T.Parallel(8, 32):
                    c[a, b] += s[a, b] * (i + 1)
            T.copy(c, C)

    def ref(K, I):
        x = K.reshape(8, 8, 32)
        p = 0
        out = 0
        for i in range(8):
            out = out + x[p] * (i + 1)
            p = I[p]
        return {"C": out.astype(f32)}

    return (k, lambda d: {"K": d(64, 32, dtype=f32), "I": np.array([1, 3, 5, 7, 0, 2, 4, 6], np.int32)}, ref)


def tile_in_two_parts():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            for i in T.Pipelined(8, num_stages=3):
                T.copy(K[i * 8 : i * 8 + 4, :], s[0:4, :])
                T.copy(K[i * 8 + 4 : i * 8 + 8, :], s[4:8, :])
                for a, b in T.Parallel(8, 32):
                    c[a, b] += s[a, b] * (i + 1)
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32)},
        lambda K: {"C": sum(K.reshape(8, 8, 32)[i] * (i + 1) for i in range(8)).astype(f32)},
    )


def left_early():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            for i in T.Pipelined(8, num_stages=3):
                if i == 2:
                    continue
                if i == 5:
                    break
                T.copy(K[i * 8, 0], s)
                for a, b in T.Parallel(8, 32):
                    c[a, b] += s[a, b] * (i + 1)
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32)},
        lambda K: {"C": sum(K.reshape(8, 8, 32)[i] * (i + 1) for i in (0, 1, 3, 4)).astype(f32)},
    )


def loop_inside():

    @tiledsl.kernel(out_idx=-1)
    def k(K: T.Tensor((64, 32), T.float32), C: T.Tensor((8, 32), T.float32)):
        with T.Kernel(1, threads=32):
            s = T.alloc_shared((8, 32), T.float32)
            c = T.alloc_fragment((8, 32), T.float32)
            T.clear(c)
            n = T.alloc_var(T.int32)
            for i in T.Pipelined(8, num_stages=3):
                T.copy(K[i * 8, 0], s)
                n = 0
                while n < i:
                    for a, b in T.Parallel(8, 32):
                        c[a, b] += s[a, b]
                    n = n + 1
            T.copy(c, C)

    return (
        k,
        lambda d: {"K": d(64, 32, dtype=f32)},
        lambda K: {"C": sum(K.reshape(8, 8, 32)[i] * i for i in range(8)).astype(f32)},
    )


def global_exchange():

    @tiledsl.kernel
    def k(A: T.Tensor((8, 64), T.float32), W: T.Tensor((8, 64), T.float32), C: T.Tensor((64, 8), T.float32)):
        with T.Kernel(1, threads=64):
            f = T.alloc_fragment((8, 64), T.float32)
            T.alloc_fragment((64, 8), T.float32)
            T.copy(A, f)
            T.copy(f, W)
            for i, j in T.Parallel(64, 8):
                C[i, j] = W[j, i]

    return (
        k,
        lambda d: {"A": d(8, 64, dtype=f32), "W": np.zeros((8, 64), f32), "C": np.zeros((64, 8), f32)},
        lambda A, W, C: {"C": A.T},
    )


def global_overwritten():

    @tiledsl.kernel
    def k(A: T.Tensor((8, 64), T.float32), C: T.Tensor((8, 64), T.float32)):
        with T.Kernel(1, threads=64):
            for i, j in T.Parallel(64, 8):
                C[j, i] = 1.0
            T.copy(A, C)

    return (k, lambda d: {"A": d(8, 64, dtype=f32), "C": np.zeros((8, 64), f32)}, lambda A, C: {"C": A})


def global_state():

    @tiledsl.kernel
    def k(A: T.Tensor((8, 64), T.float32), C: T.Tensor((8, 64), T.float32)):
        with T.Kernel(1, threads=64):
            s = T.alloc_shared((8, 64), T.float32)
            for _t in T.Pipelined(4, num_stages=2):
                T.copy(C, s)
                for i, j in T.Parallel(8, 64):
                    C[i, j] = s[i, 63 - j] + A[i, j]

    def ref(A, C):
        c = C
        for _t in range(4):
            c = c[:, ::-1] + A
        return {"C": c}

    return (k, lambda d: {"A": d(8, 64, dtype=f32), "C": np.zeros((8, 64), f32)}, ref)


def written_for_the_next():

    @tiledsl.kernel
    def k(X: T.Tensor((64, 32), T.float32), I: T.Tensor((4,), T.int32)):
        with T.Kernel(1, threads=32) as b:
            s = T.alloc_shared((8, 32), T.float32)
            f = T.alloc_fragment((8, 32), T.float32)
            for t in T.Pipelined(4, num_stages=2):
                q = b * 64 + I[t]
                T.copy(X[q * 8 : q * 8 + 8, :], s)
                for i, j in T.Parallel(8, 32):
                    f[i, j] = s[i, j] + 1.0
                T.copy(f, X[q * 8 + 8 : q * 8 + 16, :])

    def ref(X, I):
        x = X.reshape(8, 8, 32).copy()
        for q in I:
            x[q + 1] = x[q] + 1
        return {"X": x.reshape(64, 32)}

    return (k, lambda d: {"X": d(64, 32, dtype=f32), "I": np.array([0, 1, 2, 3], np.int32)}, ref)


PROGRAMS = (
    gathered_pages,
    gathered_by_shared_index,
    gathered_rows,
    condition_loaded,
    condition_of_the_loop,
    two_sources,
    read_after_the_loop,
    read_after_an_empty_loop,
    previous_tile,
    nested_pipelines,
    nested_on_one_buffer,
    two_on_one_buffer,
    through_a_view,
    promise_inside,
    ticket_taken_once,
    linked_list,
    tile_in_two_parts,
    left_early,
    loop_inside,
    global_exchange,
    global_overwritten,
    global_state,
    written_for_the_next,
)
