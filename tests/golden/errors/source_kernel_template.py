"""A template cannot be launched by its name."""

import tiledsl.language as T

SOURCE = "template <int N> __global__ void add(float* a) {}"


def kernel(A: T.Tensor((8,), "float32")):
    T.CUDASourceCodeKernel(1, threads=32, source_code_or_path=SOURCE, entry_name="add")


# ruff: noqa
# expect:
# source_kernel_template.py:9:5: TD0282: the kernel 'add' is a template
#         T.CUDASourceCodeKernel(1, threads=32, source_code_or_path=SOURCE, entry_name="add")
#         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: define a __global__ function that calls it with the template's arguments, and launch that one
