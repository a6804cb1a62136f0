"""Numbers and their dtypes."""

from tiledsl.tools.features.model import Section, outside, there

CONVERSIONS = "property/test_conversions.py"
PACKED = "unit/language/test_packed_numbers.py"

NUMBERS = Section(
    "Numbers",
    (
        there(
            "arithmetic",
            "max min abs floordiv floormod truncdiv truncmod ceildiv pow clamp infinity min_value max_value"
            " logical_and logical_or logical_not",
            "v:arithmetic v:rounded v:mathematics",
        ),
        there("comparisons in a chain, `and`, `or`, `not`, `a if c else b`, `A[-1]`", "", "v:arithmetic g:scalars"),
        there(
            "mathematics",
            "exp exp2 exp10 log log2 log10 sqrt rsqrt sigmoid tanh sin cos tan erf sinh cosh asin acos atan atan2 fmod"
            " fdiv round floor ceil trunc isnan isinf isfinite fma",
            "v:mathematics v:rounded v:fused",
            "i:mathematics i:rounded i:fused",
        ),
        there("choices", "if_then_else Select", "v:arithmetic g:scalars"),
        there("conversions", "cast Cast reinterpret float16", "v:casts", "i:casts"),
        there(
            "bits",
            "shift_left shift_right bitwise_and bitwise_or bitwise_xor bitwise_not popcount clz",
            "v:bits",
            "i:bits",
        ),
        there(
            "fast mathematics",
            "__exp __exp2 __exp10 __log __log2 __log10 __sin __cos __tan fast_rcp TileKernel.fast_math",
            f"v:mathematics {CONVERSIONS}::test_functions_of_floats_of_up_to_32_bits_are_the_same_to_the_last_bit",
            "i:mathematics",
        ),
        there(
            "arithmetic with a rounding",
            "ieee_add ieee_sub ieee_mul ieee_fmaf ieee_frcp ieee_fsqrt ieee_frsqrt ieee_fdiv",
            "v:directed_float32 v:directed_float64"
            " property/test_laws.py::test_law[directed-directed_operations_round_as_fractions_do]",
            "i:directed_float32 i:directed_float64",
        ),
        there(
            "arithmetic on pairs",
            "add2 sub2 mul2 fma2 max2 min2 abs2",
            "v:pairs_of_float16 v:pairs_of_bfloat16 v:pairs_of_float32 v:pairs_in_other_memory"
            " property/test_laws.py::test_law[paired-paired_operations_are_those_of_each_half]",
            "i:pairs_of_float16 i:pairs_of_bfloat16 i:pairs_of_float32",
        ),
        there(
            "exchange between the lanes of a warp",
            "shfl shfl_xor shfl_up shfl_down shfl_sync any_sync all_sync ballot ballot_sync activemask match_any_sync"
            " match_all_sync",
            "v:warps v:votes v:shuffles_in_groups g:shuffles",
            "i:warps i:votes",
        ),
        there("barriers that count", "syncthreads_and syncthreads_or syncthreads_count", "v:votes", "i:votes"),
        there(
            "functions of the user's own CUDA text",
            "import_source call_extern call_pure_extern address_of access_ptr tvm_access_ptr",
            "v:foreign_functions v:accessed unit/language/test_externs.py::test_who_has_no_reference",
            "i:foreign_functions unit/codegen/test_emit.py::test_source_of_the_users_own",
        ),
        there(
            "accesses of a given width",
            "__ldg ldg32 ldg64 ldg128 stg32 stg64 stg128",
            "v:accesses_of_a_width v:accesses_of_numbers_of_any_size v:accesses_that_promise"
            " unit/language/test_widths.py::test_a_broken_promise_is_found",
            "i:accesses_of_a_width",
        ),
        there(
            "random numbers",
            "rng_init rng_rand rng_rand_float",
            "v:random_of_threads v:random_of_points v:random_floats"
            " unit/cpu/test_philox.py::test_blocks_are_those_of_the_published_vectors",
            "i:random_of_threads",
        ),
        there(
            "instructions of the tensor core",
            "ptx_mma ptx_ldmatrix mma_store ptx_wgmma_ss ptx_wgmma_rs TensorCoreIntrinEmitter",
            "v:stored_products v:products_of_warpgroups"
            " unit/language/test_emitters.py::test_products_are_the_product_in_every_execution",
            "i:stored_products i:products_of_warpgroups"
            " unit/language/test_emitters.py::test_no_bank_conflicts_with_a_swizzle",
        ),
        outside("ptx_tcgen05_mma and what belongs to it", "they are instructions of sm_100"),
    ),
)

TYPES = Section(
    "Dtypes",
    (
        there(
            "bool and integers",
            "bool int int8 int16 int32 int64 uint8 uint16 uint32 uint64 index",
            "v:stored_bool v:stored_int8 v:stored_uint64 unit/cpu/test_executions_agree.py::test_S23_operators",
        ),
        there(
            "floats",
            "float half double float16 float32 float64 bfloat16 tfloat32",
            "v:stored_float16 v:stored_bfloat16 v:stored_tfloat32"
            " unit/cpu/test_executions_agree.py::test_S23_conversions",
            "i:vectors_are_converted_in_pairs",
        ),
        there(
            "floats of 8 and 6 bits",
            "float8_e4m3 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float6_e2m3fn"
            " float6_e3m2fn",
            "v:stored_float8_e4m3fn v:stored_float8_e5m2 v:stored_float8_e4m3fnuz v:stored_float8_e5m2fnuz"
            " v:stored_float8_e8m0fnu v:stored_float6_e2m3fn v:stored_float6_e3m2fn"
            " v:vectors_are_converted_in_pairs",
            "i:vectors_are_converted_in_pairs unit/codegen/test_pairs.py::test_a_pair_of_8_bits_is_one_instruction",
        ),
        there(
            "conversions bit for bit: roundings, saturation, NaN",
            "cast",
            "unit/cpu/test_numerics.py::test_rounding_to_nearest_is_that_of_ml_dtypes"
            " unit/cpu/test_numerics.py::test_directed_rounding_picks_the_right_neighbour"
            " unit/cpu/test_numerics.py::test_S23_out_of_range",
            f"{CONVERSIONS}::test_every_conversion_with_every_rounding"
            f" {CONVERSIONS}::test_every_conversion_and_function_compiles_for_the_gpu",
        ),
        there(
            "4 bits, packed in bytes",
            "int4 uint4 float4_e2m1fn",
            f"unit/cpu/test_numerics.py::test_rounding_to_nearest_is_that_of_ml_dtypes"
            f" {PACKED}::test_weights_of_four_bits {PACKED}::test_every_float16_is_rounded_to_nearest"
            f" {PACKED}::test_bytes_are_viewed_as_numbers_and_back",
            f"{PACKED}::test_weights_of_four_bits_are_copied_as_bytes_and_multiplied_by_the_tensor_core",
        ),
        there(
            "names: strings, words, dtypes of torch and NumPy",
            "float16",
            "unit/frontend/test_promotion.py::test_spellings_of_a_dtype_are_equal",
        ),
    ),
)
