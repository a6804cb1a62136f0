"""Launches, memory and loops."""

from tiledsl.tools.features.model import Section, outside, there

CLUSTERS = "unit/cpu/test_interp_clusters.py"

LAUNCH = Section(
    "Launches, and questions about blocks and threads",
    (
        there("a grid of blocks of threads", "Kernel", "v:who_am_i v:any_shape_3x37", "i:who_am_i"),
        there("CUDA text ahead of a launch", "Kernel", "unit/codegen/test_emit.py::test_source_of_the_users_own"),
        there("several launches in one kernel", "Kernel alloc_global", "g:two_launches"),
        there(
            "clusters of blocks",
            "ClusterKernel block_rank_in_cluster cluster_arrive cluster_arrive_relaxed cluster_wait cluster_sync",
            f"{CLUSTERS}::test_blocks_meet_and_arrive_at_each_other",
            "unit/codegen/test_concurrent.py::test_clusters_reach_the_launch",
        ),
        outside("clc_try_cancel, clc_is_canceled, clc_get_first_ctaid_x", "they are instructions of sm_100"),
        there(
            "a kernel in CUDA",
            "CUDASourceCodeKernel",
            "v:cuda_kernel unit/language/test_source_kernels.py::test_the_device_api_runs_on_the_cpu_device",
            "i:cuda_kernel",
        ),
        there(
            "numbers and extents of threads and blocks",
            "get_thread_binding get_thread_bindings get_block_binding get_block_bindings get_thread_extent"
            " get_thread_extents get_block_extent get_block_extents",
            "v:who_am_i g:threads",
            "i:who_am_i",
        ),
        there("the threads as a loop", "thread_binding", "v:loops g:threads"),
        there(
            "`T.launch_thread`",
            "launch_thread",
            "v:launched_threads unit/language/test_launch_thread.py::test_axes_without_a_number_have_one",
            "i:launched_threads",
        ),
        there(
            "numbers of lanes and warps",
            "get_lane_idx get_warp_idx get_warp_idx_sync get_warp_group_idx shuffle_elect",
            "v:who_am_i v:votes",
        ),
    ),
)

MEMORY = Section(
    "Memory",
    (
        there("tensors of the call", "Tensor Buffer", "g:gemm g:scalars v:views v:small_words"),
        there("tensors with strides", "StridedTensor", "v:any_shape_3x37"),
        there(
            "pointers of the call as tensors",
            "ptr make_tensor",
            "v:pointers unit/calls/test_pointers.py::test_memory_of_any_shape",
        ),
        there(
            "numbers of the call",
            "int32 float32",
            "v:any_shape_3x37 unit/calls/test_calls.py::test_numpy_numbers_are_scalars",
        ),
        there("tiles in shared memory", "alloc_shared", "g:gemm v:layouts", "i:layouts"),
        there("tiles in registers", "alloc_fragment", "g:gemm v:reductions"),
        there("private arrays", "alloc_local", "g:threads"),
        there("variables", "alloc_var", "g:control_flow v:loops"),
        there(
            "barriers in shared memory",
            "alloc_barrier create_list_of_mbarrier get_mbarrier",
            "g:warp_specialised unit/cpu/test_roles.py::test_a_phase_ends_with_its_last_arrival_and_byte",
            "unit/codegen/test_concurrent.py::test_barriers_are_rows_of_shared_memory",
        ),
        there(
            "reducers",
            "alloc_reducer finalize_reducer reducer_init reducer_update",
            "unit/language/test_reducers.py::test_a_reducer_is_a_reduction_over_loops g:reducers",
        ),
        there("workspaces in global memory", "alloc_global", "g:two_launches"),
        there(
            "results that the call allocates",
            "empty",
            "g:constant_style unit/calls/test_calls.py::test_results_by_position_from_either_end",
        ),
        outside("alloc_tmem, deallocate_tmem, descriptors of tcgen05", "tensor memory is of sm_100"),
    ),
)

LOOPS = Section(
    "Loops",
    (
        there("points dealt to threads", "Parallel", "g:scalars v:arithmetic", "i:vectors_are_converted_in_pairs"),
        there(
            "pipelines",
            "Pipelined",
            "g:gemm unit/passes/test_pipeline.py::test_conditional_bodies_are_pipelined",
            "unit/passes/test_pipeline.py::test_g1_gemm_peeled_text",
        ),
        there("one iteration after the other", "serial Serial", "v:loops g:control_flow"),
        there("unrolled loops", "unroll", "v:loops g:threads"),
        there("loops of lanes", "vectorized", "v:loops", "i:loops"),
        there(
            "tiles of resident blocks",
            "Persistent",
            "g:persistent unit/language/test_persistent.py::test_each_tile_is_worked_on_once",
        ),
        there("leaving a loop", "loop_break", "v:loops g:control_flow"),
        there(
            "`while`, `break`, `continue`, `range`",
            "",
            "v:loops g:control_flow"
            " unit/frontend/test_control_flow_law.py::test_traced_programs_compute_what_python_computes",
        ),
        there(
            "schedulers of tiles as objects",
            "PersistentTileScheduler BaseTileScheduler",
            "v:tile_schedulers unit/language/test_tile_schedulers.py::test_each_tile_goes_to_one_turn_of_one_worker",
        ),
    ),
)
