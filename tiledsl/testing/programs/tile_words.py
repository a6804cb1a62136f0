"""Views, transposition, scans, atomics on tiles and elements, fills of parts."""

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
