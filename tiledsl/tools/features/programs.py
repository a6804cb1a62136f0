"""The program around tiles: control flow, layouts, debugging, calls."""

from tiledsl.tools.features.model import Section, outside, there

LAYOUT = "unit/language/test_language_layouts.py"
CLI = "unit/tools/test_cli.py"
CALL = "unit/calls/test_calls.py"
HINTS = "unit/language/test_hints.py"

FRONTEND = Section(
    "Programs",
    (
        there("kernels from Python functions", "tiledsl.kernel", "g:gemm g:constant_style"),
        there(
            "conditions",
            "",
            "g:control_flow unit/frontend/test_control_flow_law.py::test_traced_programs_compute_what_python_computes",
        ),
        there(
            "names and variables", "alloc_var", "g:control_flow unit/language/test_language_words.py::test_words_build"
        ),
        there("macros", "macro Ref", "g:macros"),
        there(
            "sizes of the call", "dynamic symbolic", "g:dynamic_sizes v:any_shape_3x37 v:any_shape_0x8 v:any_shape_4x0"
        ),
        there("sizes bound at the call", "const", "g:constant_style"),
        there(
            "attributes",
            "attr evaluate",
            "g:threads_allreduce v:reductions_over_threads v:stores_by_cp_async",
            "i:stores_by_cp_async",
        ),
        there("promises", "assume", "unit/language/test_print_words.py::test_assertions_and_promises"),
        there(
            "macros of classes",
            "meta_class inline",
            "g:classes unit/frontend/test_signature.py::test_a_macro_may_name_itself_and_keep_globals",
        ),
        there("errors with places", "tiledsl.TileError", "unit/frontend/test_error_goldens.py::test_message"),
        there(
            "tensors of more than 2^31 elements",
            "",
            "unit/calls/test_large_tensors.py::test_values_beyond_two_to_the_31"
            " unit/calls/test_large_tensors.py::test_a_size_that_is_no_int32_is_refused_before_the_launch",
            "unit/passes/test_scalar_passes.py::test_an_index_beyond_int32_is_int64_from_its_leaves_on",
        ),
    ),
)

LAYOUTS = Section(
    "Layouts and annotations",
    (
        there(
            "layouts of shared tiles",
            "Layout annotate_layout",
            f"v:layouts {LAYOUT}::test_offsets_and_coordinates",
            "i:layouts",
        ),
        there(
            "layouts of fragments",
            "Fragment annotate_layout",
            f"v:layouts {LAYOUT}::test_repeats {LAYOUT}::test_replicas",
        ),
        there(
            "common layouts",
            "make_swizzled_layout make_full_bank_swizzled_layout make_half_bank_swizzled_layout"
            " make_quarter_bank_swizzled_layout make_linear_layout",
            f"v:layouts {LAYOUT}::test_standard_layouts",
            "i:layouts",
        ),
        outside("make_volta_swizzled_layout, make_tcgen05mma_swizzled_layout", "they are for sm_70 and sm_100"),
        there(
            "order of the blocks",
            "use_swizzle",
            "unit/passes/test_scalar_passes.py::test_a_raster_is_a_permutation_of_the_grid_in_panels",
        ),
        there(
            "values outside of tensors",
            "annotate_safe_value",
            "unit/passes/test_scalar_passes.py::test_loads_outside_yield_zero_or_the_safe_value_and_stores_outside_vanish",
        ),
        there(
            "blocks on a multiprocessor",
            "annotate_min_blocks_per_sm",
            "unit/language/test_language_words.py::test_annotations_reach_the_launch",
        ),
        there(
            "other annotations",
            "annotate_l2_hit_ratio annotate_restrict_buffers annotate_compile_flags annotate_pass_configs",
            f"{HINTS}::test_no_value_changes {HINTS}::test_overlapping_tensors_keep_the_order_of_a_thread",
            f"{HINTS}::test_flags_reach_nvrtc {HINTS}::test_the_window_of_the_cache_is_that_of_the_tensor"
            f" {HINTS}::test_pointers_of_overlapping_tensors_promise_nothing",
        ),
        there(
            "pictures of layouts",
            "plot_layout",
            f"{LAYOUT}::test_pictures_are_those_of_the_tables {CLI}::test_layout_of_a_kernel",
        ),
    ),
)

DEBUGGING = Section(
    "Debugging",
    (
        there(
            "printing numbers and tiles",
            "print",
            "unit/language/test_print_words.py::test_the_same_text",
            "unit/language/test_print_words.py::test_instructions_of_printing",
        ),
        there(
            "assertions",
            "device_assert",
            "unit/language/test_print_words.py::test_assertions_and_promises",
            "unit/language/test_print_words.py::test_instructions_of_assertions",
        ),
        there("text after each pass", "CompiledKernel.ir", f"{CALL}::test_dump_writes_the_ir_after_every_pass"),
        there("pages of the passes", "", "unit/viewer/test_pages.py::test_tiledsl_trace_writes_a_page"),
        there("times of the passes", "", f"{CALL}::test_timing_prints_every_pass"),
        there("places in the CUDA text", "", "unit/codegen/test_emit.py::test_every_statement_stands_at_its_line"),
        there("the first wrong pass", "", "unit/validation/test_bisect.py"),
        there("shorter programs with the same mistake", "", "unit/validation/test_shrinking.py"),
        there("work and costs", "CompiledKernel.report", "unit/report/test_report.py::test_work_and_bytes_of_a_gemm"),
        there(
            "machine code",
            "CompiledKernel.ptx CompiledKernel.cubin",
            f"{CLI}::test_sass {CLI}::test_compile_writes_cuda_ptx_and_cubin",
        ),
    ),
)

CALLS = Section(
    "Compiling and calling",
    (
        there(
            "compilation without a call",
            "TileKernel.compile",
            f"{CALL}::test_constant_style_reads_sizes_off_the_tensors",
        ),
        there("results by position", "TileKernel.out_idx", f"{CALL}::test_results_by_position_from_either_end"),
        there("checks of the arguments", "", f"{CALL}::test_mistakes_have_a_code_and_name_the_parameter"),
        there("tensors of torch", "", "unit/calls/test_torch.py::test_results_are_torch_tensors"),
        there("options of passes", "TileKernel.options TileKernel.fast_math", f"{CALL}::test_options_reach_their_pass"),
        there("streams", "", "unit/runtime/test_launch.py::test_streams_of_every_library"),
        there("a cache on disk", "", "unit/cache/test_cache.py::test_what_is_written_is_read"),
        there(
            "times",
            "tiledsl.do_bench CompiledKernel.profile",
            "unit/profiling/test_profiling.py::test_a_kernel_on_the_cpu",
        ),
        there(
            "the best configuration",
            "tiledsl.autotune",
            "unit/tuning/test_tuning.py::test_a_kernel_is_run_with_the_best",
        ),
    ),
)
