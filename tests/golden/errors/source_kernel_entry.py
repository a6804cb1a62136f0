"""A kernel that the CUDA text does not have."""

import tiledsl.language as T

SOURCE = "__global__ void add(float* a) {}\n__global__ void subtract(float* a) {}"


def kernel(A: T.Tensor((8,), "float32")):
    T.CUDASourceCodeKernel(1, threads=32, source_code_or_path=SOURCE)


# ruff: noqa
# expect:
# source_kernel_entry.py:9:5: TD0280: the CUDA text has no kernel 'main_kernel'
#         T.CUDASourceCodeKernel(1, threads=32, source_code_or_path=SOURCE)
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: available entries: add, subtract
