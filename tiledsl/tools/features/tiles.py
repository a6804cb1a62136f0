"""Operations on tiles."""

from tiledsl.tools.features.model import Section, outside, there

GEMM = "unit/passes/test_lower_gemm.py"
WGMMA = "unit/passes/test_lower_wgmma.py"
BULK = "unit/passes/test_lower_roles.py"
REDUCE = "unit/passes/test_lower_reduce.py"
IM2COL = "unit/passes/test_im2col.py"

TILES = Section(
    "Operations on tiles",
    (
        there(
            "copies between any two memories, of parts, with conversion",
            "copy",
            "g:slices g:tile_words v:stored_bfloat16 v:any_shape_3x37",
            f"{BULK}::test_a_box_for_each_panel unit/passes/test_lower_matrix_copy.py::test_ldmatrix",
        ),
        there(
            "copies that the program waits for",
            "async_copy tma_copy ptx_commit_group ptx_wait_group tma_store_arrive tma_store_wait",
            "unit/cpu/test_interp_hopper.py::test_boxes_to_and_from_shared_memory",
            "unit/codegen/test_concurrent.py::test_each_statement_has_its_call b:copies b:the_copy_engine",
        ),
        there(
            "copies to the blocks of a cluster",
            "tma_copy copy_cluster",
            "v:cluster_copies unit/cpu/test_interp_clusters.py::test_each_block_loads_half_for_both",
            "i:cluster_copies unit/language/test_cluster_words.py::test_a_copy_to_other_blocks_expects_nothing",
        ),
        there(
            "copies from a block's shared memory to that of another block",
            "copy_cluster",
            "v:rings_of_tiles v:tiles_of_a_cluster v:sent_views v:sent_by_a_role"
            " e2e/test_block_copies.py::test_every_stage_computes_the_reference"
            " e2e/test_block_copies.py::test_the_text_computes_the_reference_whenever_tiles_arrive",
            "i:rings_of_tiles i:tiles_of_a_cluster",
        ),
        outside("tma_gather4, tma_scatter4", "they are instructions of sm_100"),
        there(
            "matrices of convolutions",
            "im2col c2d_im2col",
            "g:im2col",
            f"{IM2COL}::test_the_driver_is_told_of_the_window",
        ),
        there("transposition", "transpose", "g:tile_words"),
        there(
            "products",
            "gemm GemmWarpPolicy",
            f"g:gemm {GEMM}::test_dtypes_and_transpositions {GEMM}::test_operands_in_registers",
            f"{GEMM}::test_instructions_per_step {WGMMA}::test_types",
        ),
        there("older names of products", "gemm_v1 gemm_v2", "v:small_words"),
        there(
            "products with structured sparsity",
            "gemm_sp",
            "unit/language/test_gemm_sp.py::test_sparse_products_in_all_executions",
            "unit/language/test_gemm_sp.py::test_sparse_products_are_instructions_of_the_tensor_core",
        ),
        there(
            "products that the program waits for",
            "wgmma_gemm wait_wgmma warpgroup_wait warpgroup_arrive warpgroup_commit_batch warpgroup_fence_operand",
            "unit/cpu/test_interp_hopper.py::test_every_pair_of_types b:products",
            f"{WGMMA}::test_an_asynchronous_product_is_only_issued",
        ),
        outside("tcgen05_gemm, block-scaled products, wgmma_gemm_sp of tcgen05", "they are instructions of sm_100"),
        there("filling", "fill clear", "g:tile_words v:atomics"),
        there(
            "reductions along a dimension",
            "reduce reduce_sum reduce_max reduce_min reduce_abssum reduce_absmax reduce_bitand reduce_bitor"
            " reduce_bitxor",
            f"v:reductions {REDUCE}::test_operations",
            "i:reductions",
        ),
        there(
            "prefixes along a dimension", "cumsum cummax", f"g:tile_words v:small_words {REDUCE}::test_scan_in_shared"
        ),
        there(
            "reductions over a warp",
            "warp_reduce_sum warp_reduce_max warp_reduce_min warp_reduce_bitand warp_reduce_bitor",
            "v:warps v:votes",
            "i:warps",
        ),
        there(
            "atomic updates",
            "atomic_add atomic_max atomic_min atomic_or atomic_load atomic_store atomic_addx2 atomic_addx4",
            "v:atomics v:atomics_of_elements g:tile_words unit/cpu/test_device.py::test_atomic_updates_of_every_dtype",
            f"i:atomics {BULK}::test_a_sum_by_the_copy_engine",
        ),
        there("predicates of a tile", "any_of all_of", "v:small_words"),
        there("other shapes and dtypes of the same bits", "reshape view", "v:views g:tile_words"),
        there("elements by an index in memory", "", "g:slices", ""),
        there(
            "reductions over threads",
            "thread_allreduce tvm_thread_allreduce comm_reducer attr evaluate",
            "v:reductions_over_threads"
            " unit/language/test_reducers.py::test_threads_are_combined_along_dimensions g:threads_allreduce",
            "unit/language/test_reducers.py::test_lanes_exchange_by_shuffles",
        ),
        there("the dot product of four bytes", "dp4a", "v:dot_of_four_bytes", "i:dot_of_four_bytes"),
    ),
)
