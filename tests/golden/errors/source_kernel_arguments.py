"""A kernel of CUDA text that takes something else than it is passed."""

import tiledsl.language as T

SOURCE = "__global__ void add(float* a, int n) {}"


def kernel(A: T.Tensor((8,), "float32")):
    T.CUDASourceCodeKernel(1, threads=32, source_code_or_path=SOURCE, entry_name="add")


# ruff: noqa
# expect:
# source_kernel_arguments.py:9:5: TD0281: add(float* a, int n) is passed (A)
#         T.CUDASourceCodeKernel(1, threads=32, source_code_or_path=SOURCE, entry_name="add")
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: give args=[...] with one tensor, scalar or size for each of its parameters
