"""Small kernels as users write them, a file each; together they speak most words of the language.

Each defines `kernel`, and `STATIC` and `TENSORS` where tracing needs values or arguments of the constant style.
`strategies/sources.py` has their texts, which the invalid-program fuzzer changes; the tests hold what they become.
"""
