"""Sums over a dimension of the block that spans warps: shuffles, then shared memory; and in TVM's spelling."""

import tiledsl.language as T


def kernel(A: T.Tensor((2, 64), "float32"), S: T.Tensor((2, 64), "float32"), L: T.Tensor((2, 64), "float32")):
    with T.Kernel(1, threads=(2, 64)):
        x = T.get_thread_binding(0)
        y = T.get_thread_binding(1)
        least = T.alloc_local((1,), "float32")
        S[x, y] = T.thread_allreduce(A[x, y], y)
        with T.attr(T.comm_reducer(lambda a, b: T.min(a, b), [T.float32(100)]), "reduce_scope"):
            T.evaluate(T.tvm_thread_allreduce(T.uint32(1), A[x, y], y != 3, least[0], x, dtype="handle"))
        L[x, y] = least[0]
