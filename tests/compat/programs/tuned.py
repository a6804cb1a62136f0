"""A kernel that finds its configuration, as a decorator and as an object."""

import numpy as np

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T


def configurations(N):
    return [{"block": b, "threads": t} for b in (64, 128) for t in (32, 64) if b <= N]


def doubled(N, block=None, threads=None):
    @T.prim_func
    def main(A: T.Tensor((N,), "float16"), B: T.Tensor((N,), "float16")):
        with T.Kernel(T.ceildiv(N, block), threads=threads) as bx:
            for i in T.Parallel(block):
                B[bx * block + i] = A[bx * block + i] * 2

    return main


tuned = tilelang.autotune(configs=configurations, warmup=1, rep=1, timeout=60, ref_prog=lambda A: A * 2)(
    tilelang.jit(out_idx=[-1])(doubled)
)


@tilelang.autotune(configs={"threads": [32, 64]}, ref_prog=lambda A: 2 * A)
@tilelang.jit
def eager(A, threads: int):
    N = T.const("N")
    A: T.Tensor[[N], T.float32]
    B = T.empty([N], T.float32)
    with T.Kernel(T.ceildiv(N, 64), threads=threads) as bx:
        for i in T.Parallel(64):
            B[bx * 64 + i] = A[bx * 64 + i] + A[bx * 64 + i]
    return B


def main():
    kernel = tuned(256)
    assert kernel.config in configurations(256) and kernel.latency > 0
    assert kernel.get_tuner_result()["config"] == kernel.config
    a = np.arange(256, dtype=np.float16)
    np.testing.assert_array_equal(kernel(a), a * 2)
    assert tuned(256, block=64, threads=32).config is None, "what is named is taken, and nothing is searched"

    result = (
        tilelang.AutoTuner.from_kernel(kernel=of_128, configs=configurations(128))
        .set_compile_args(out_idx=[-1], target="auto")
        .set_profile_args(ref_prog=lambda A: A + A, supply_type=tilelang.TensorSupplyType.Integer)
        .run(warmup=1, rep=1)
    )
    assert result.config in configurations(128) and result.latency > 0
    np.testing.assert_array_equal(result.kernel(a[:128]), a[:128] * 2)
    np.testing.assert_array_equal(eager(a.astype(np.float32)), a * 2)


def of_128(block=None, threads=None):
    return doubled(128, block, threads)
