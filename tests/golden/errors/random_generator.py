"""Another generator."""

import tiledsl.language as T


def kernel(A: T.Tensor((16,), "uint32")):
    with T.Kernel(1, threads=32):
        T.rng_init(1, generator="curandStateXORWOW_t")


# ruff: noqa
# expect:
# random_generator.py:8:9: TD0226: generator of T.rng_init cannot be 'curandStateXORWOW_t' (str)
#             T.rng_init(1, generator="curandStateXORWOW_t")
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: curandStatePhilox4_32_10_t
