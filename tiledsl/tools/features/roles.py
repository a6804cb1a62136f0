"""Pipelines, roles, barriers, the copy engine."""

from tiledsl.tools.features.model import Section, outside, there

PIPE = "unit/passes/test_pipeline.py"
SPECIAL = "unit/passes/test_warp_specialise.py"
CALLS = "unit/codegen/test_concurrent.py::test_each_statement_has_its_call"

PIPELINES = Section(
    "Schedules of pipelines",
    (
        there("stages", "Pipelined", f"{PIPE}::test_g1_gemm", f"{PIPE}::test_g1_gemm_peeled_text"),
        there(
            "order, stage and group by hand",
            "Pipelined",
            f"{PIPE}::test_p19_manual_schedule_is_followed {PIPE}::test_manual_groups_are_followed",
        ),
        there(
            "-1 for copies of a producer", "Pipelined", f"{PIPE}::test_minus_one_leaves_the_schedule_to_the_compiler"
        ),
    ),
)

ROLES = Section(
    "Roles of warpgroups, barriers, the copy engine",
    (
        there(
            "roles that the compiler makes",
            "Pipelined",
            f"{SPECIAL}::test_iterations_are_numbered_alike_on_both_sides",
            "unit/codegen/test_concurrent.py::test_golden_text",
        ),
        there(
            "roles that the user writes",
            "ws WarpSpecialize get_thread_binding",
            "g:warp_specialised unit/language/test_gathering.py::test_each_thread_executes_what_it_executed_before",
            "unit/language/test_warp_specialized_gemms.py::test_the_roles_are_one_statement",
        ),
        there(
            "arriving and waiting",
            "barrier_wait barrier_arrive mbarrier_wait_parity mbarrier_arrive mbarrier_expect_tx"
            " mbarrier_arrive_expect_tx",
            "g:warp_specialised unit/cpu/test_roles.py::test_bytes_that_are_expected_separately",
            CALLS,
        ),
        there(
            "registers of roles",
            "set_max_nreg inc_max_nreg dec_max_nreg annotate_producer_reg_dealloc annotate_consumer_reg_alloc"
            " no_set_max_nreg disable_warp_group_reg_alloc",
            "g:warp_specialised b:registers"
            " unit/language/test_concurrent_words.py::test_registers_of_roles_that_the_compiler_makes",
            "unit/passes/test_lower_roles.py::test_registers_go_up_and_down_from_what_the_launch_deals",
        ),
        there(
            "signals of cp.async",
            "cp_async_barrier_noinc ptx_commit_group ptx_wait_group",
            "unit/cpu/test_roles.py::test_copies_of_threads_that_a_barrier_tells_of",
            CALLS,
        ),
        there(
            "the copy engine by hand",
            "tma_copy tma_load create_tma_descriptor tma_store_arrive tma_store_wait fence_proxy_async",
            "g:warp_specialised v:tma_loads unit/cpu/test_tma.py",
            f"i:tma_loads {CALLS}",
        ),
        there(
            "barriers of threads",
            "sync_threads sync_warp named_barrier_arrive sync_grid sync_global",
            "g:threads unit/cpu/test_device.py::test_named_barriers_hold_back_their_own_threads"
            " v:warps_meet v:named_arrivals v:grids_meet",
            "unit/codegen/test_concurrent.py::test_each_thread_does_what_its_role_does i:warps_meet i:named_arrivals",
        ),
        there(
            "schedules of roles",
            "WSPipeline WSSchedule annotate_ws_schedule ws_op WSRole WSOpRef WSSync WSScope",
            "v:schedules_of_roles unit/language/test_role_schedules.py::test_what_is_accepted_computes_the_same"
            " unit/passes/test_warp_schedules.py::test_another_schedule_computes_the_same",
            "i:schedules_of_roles unit/passes/test_warp_schedules.py::test_what_the_user_wants_is_made",
        ),
        there(
            "launches that begin early",
            "pdl_sync pdl_trigger",
            "g:dependent_launches",
            "unit/passes/test_dependences.py::test_each_role_waits_and_one_triggers",
        ),
        outside("tcgen05, TMEM, pairs of blocks that multiply together", "they are instructions of sm_100"),
    ),
)
