"""A fp16 matmul + bias + ReLU, all the way: compile for two GPUs, run on what is here, check, and look inside.

pip install -e . && python examples/quickstart.py
"""

import time

START = time.perf_counter()

import numpy as np  # noqa: E402

import tiledsl  # noqa: E402
import tiledsl.language as T  # noqa: E402


def matmul_bias_relu(M, N, K, block_M=128, block_N=128, block_K=32, num_stages=3):
    @tiledsl.kernel(out_idx=-1)
    def matmul(
        A: T.Tensor((M, K), T.float16),
        B: T.Tensor((K, N), T.float16),
        bias: T.Tensor((N,), T.float16),
        C: T.Tensor((M, N), T.float16),
    ):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=128) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, k * block_K], A_shared)
                T.copy(B[k * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            for i, j in T.Parallel(block_M, block_N):
                C_local[i, j] = T.max(C_local[i, j] + T.cast(bias[bx * block_N + j], T.float32), 0.0)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return matmul


def main():
    imported = time.perf_counter()
    print(f"import                    {1e3 * (imported - START):8.1f} ms")
    M, N, K = 512, 384, 256
    kernel = matmul_bias_relu(M, N, K)
    for target in ("sm_80", "sm_90a"):
        start = time.perf_counter()
        compiled = kernel.compile(target=target)
        text = time.perf_counter()
        size = len(compiled.cubin)
        done = time.perf_counter()
        made = f"Python -> CUDA {1e3 * (text - start):8.1f} ms   CUDA -> cubin {1e3 * (done - text):8.1f} ms"
        print(f"{target:6}  {made}   {size} bytes")

    rng = np.random.default_rng(0)
    a = rng.standard_normal((M, K)).astype(np.float16)
    b = rng.standard_normal((K, N)).astype(np.float16)
    bias = rng.standard_normal(N).astype(np.float16)
    start = time.perf_counter()
    c = kernel(a, b, bias)
    print(f"run                       {1e3 * (time.perf_counter() - start):8.1f} ms   on {tiledsl.where()}")
    expected = np.maximum(a.astype(np.float32) @ b.astype(np.float32) + bias.astype(np.float32), 0)
    error = np.abs(c.astype(np.float32) - expected).max()
    assert error < 0.1, f"largest error {error}"
    print(f"check against NumPy       largest error {error:.4f}")

    compiled = kernel.compile(target="sm_80")
    print("\n---- IR before software-pipeline\n" + compiled.ir(after="expand-lets"))
    print("---- IR after software-pipeline\n" + compiled.ir(after="software-pipeline"))
    print("---- CUDA C++, the first 40 lines of the kernel")
    kernel_text = compiled.source[compiled.source.rindex("TDS_KERNEL(") :]
    print("\n".join(kernel_text.splitlines()[:40]))
    print("\n---- resources\n" + str(compiled.report()))


if __name__ == "__main__":
    main()
