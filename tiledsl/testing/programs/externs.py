"""The user's own CUDA functions. The text only: nothing here can execute them."""

import tiledsl.language as T

SOURCE = """
__device__ float scaled(float x, int n) { return x * n; }
__device__ void note(float* p) { *p += 1; }
"""


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
