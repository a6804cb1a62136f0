"""A role that reads a tile of a pipeline which it has not waited for."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 8, 32), "float32"), C: T.Tensor((8, 32), "float32")):
    with T.Kernel(1, threads=128):
        tile = T.alloc_shared((8, 32), "float32")
        p, q = T.WSSync.producer_acquire("p"), T.WSSync.producer_commit("p")
        roles = [T.WSRole("load", warps_lo=0, warps_hi=4), T.WSRole("use", warps_lo=4, warps_hi=8)]
        loop = {"load": [p, "load", q], "use": [T.WSSync.consumer_wait("p"), T.WSSync.consumer_release("p"), "store"]}
        scopes = [T.WSScope("loop", loop), T.WSScope(T.WSScope.ROOT, {"load": ["loop"], "use": ["loop"]})]
        pipelines = [T.WSPipeline("p", [tile], depth=2)]
        T.annotate_ws_schedule(T.WSSchedule(num_warps=8, roles=roles, pipelines=pipelines, scopes=scopes))
        with T.ws_op("loop"):
            for k in T.serial(4):
                with T.ws_op("load"):
                    T.copy(A[k, 0, 0], tile)
                with T.ws_op("store"):
                    T.copy(tile, C)


# ruff: noqa
# expect:
# schedule_of_roles.py:14:32: TD0412: the schedule of T.annotate_ws_schedule is not legal: 'store' touches 'tile', but pipeline 'p' is not open there
#             T.annotate_ws_schedule(T.WSSchedule(num_warps=8, roles=roles, pipelines=pipelines, scopes=scopes))
#                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: docs/language.md says what a schedule of roles has to keep: T.WSSchedule, T.WSScope, T.WSSync
