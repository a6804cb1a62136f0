"""The words of the language: `import tiledsl.language as T`. docs/language.md lists them with their status."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from tiledsl.errors import TileError, error
from tiledsl.frontend.proxies import WORDS as _WORDS
from tiledsl.frontend.source import here
from tiledsl.language.annotations import StridedTensor, Tensor, const, dynamic, empty, make_tensor, ptr
from tiledsl.language.asynchrony import (
    async_copy,
    fence_proxy_async,
    ptx_commit_group,
    ptx_wait_group,
    tma_copy,
    tma_store_arrive,
    tma_store_wait,
    wait_wgmma,
    warpgroup_arrive,
    warpgroup_commit_batch,
    warpgroup_fence_operand,
    warpgroup_wait,
    wgmma_gemm,
)
from tiledsl.language.atomics import (
    atomic_add,
    atomic_addx2,
    atomic_addx4,
    atomic_load,
    atomic_max,
    atomic_min,
    atomic_or,
    atomic_store,
)
from tiledsl.language.barriers import (
    alloc_barrier,
    barrier_arrive,
    barrier_wait,
    cp_async_barrier_noinc,
    create_list_of_mbarrier,
    get_mbarrier,
    mbarrier_arrive,
    mbarrier_arrive_expect_tx,
    mbarrier_expect_tx,
    mbarrier_wait_parity,
)
from tiledsl.language.clusters import (
    block_rank_in_cluster,
    cluster_arrive,
    cluster_arrive_relaxed,
    cluster_sync,
    cluster_wait,
)
from tiledsl.language.copy_engine import copy_cluster, create_tma_descriptor, tma_load
from tiledsl.language.debug import assume, device_assert, named_barrier_arrive, sync_threads
from tiledsl.language.debug import print_ as print
from tiledsl.language.dependence import pdl_sync, pdl_trigger
from tiledsl.language.directed import (
    ieee_add,
    ieee_fdiv,
    ieee_fmaf,
    ieee_frcp,
    ieee_frsqrt,
    ieee_fsqrt,
    ieee_mul,
    ieee_sub,
)
from tiledsl.language.emitters import TensorCoreIntrinEmitter
from tiledsl.language.externs import (
    CUDASourceCodeKernel,
    access_ptr,
    address_of,
    call_extern,
    call_pure_extern,
    import_source,
    tvm_access_ptr,
)
from tiledsl.language.grids import sync_grid
from tiledsl.language.hints import (
    annotate_compile_flags,
    annotate_l2_hit_ratio,
    annotate_pass_configs,
    annotate_restrict_buffers,
)
from tiledsl.language.instructions import mma_store, ptx_ldmatrix, ptx_mma
from tiledsl.language.launch import (
    ClusterKernel,
    Kernel,
    annotate_layout,
    annotate_min_blocks_per_sm,
    annotate_safe_value,
    get_block_binding,
    get_block_bindings,
    get_block_extent,
    get_block_extents,
    get_thread_binding,
    get_thread_bindings,
    get_thread_extent,
    get_thread_extents,
    launch_thread,
    use_swizzle,
)
from tiledsl.language.layouts import (
    Fragment,
    Layout,
    make_full_bank_swizzled_layout,
    make_half_bank_swizzled_layout,
    make_linear_layout,
    make_quarter_bank_swizzled_layout,
    make_swizzled_layout,
    plot_layout,
)
from tiledsl.language.loops import (
    Parallel,
    Persistent,
    Pipelined,
    loop_break,
    serial,
    thread_binding,
    unroll,
    vectorized,
)
from tiledsl.language.loops import serial as Serial
from tiledsl.language.macros import Ref, macro, meta_class
from tiledsl.language.macros import macro as inline
from tiledsl.language.mathematics import (
    acos,
    asin,
    atan,
    atan2,
    ceil,
    cos,
    cosh,
    erf,
    exp,
    exp2,
    exp10,
    fast_rcp,
    floor,
    fma,
    fmod,
    isfinite,
    isinf,
    isnan,
    log,
    log2,
    log10,
    rsqrt,
    sigmoid,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
    trunc,
)
from tiledsl.language.mathematics import fast_cos as __cos
from tiledsl.language.mathematics import fast_exp as __exp
from tiledsl.language.mathematics import fast_exp2 as __exp2
from tiledsl.language.mathematics import fast_exp10 as __exp10
from tiledsl.language.mathematics import fast_log as __log
from tiledsl.language.mathematics import fast_log2 as __log2
from tiledsl.language.mathematics import fast_log10 as __log10
from tiledsl.language.mathematics import fast_sin as __sin
from tiledsl.language.mathematics import fast_tan as __tan
from tiledsl.language.mathematics import round_ as round
from tiledsl.language.memory import (
    alloc_fragment,
    alloc_global,
    alloc_local,
    alloc_shared,
    alloc_var,
    reshape,
    view,
)
from tiledsl.language.pairs import abs2, add2, fma2, max2, min2, mul2, sub2
from tiledsl.language.random import rng_init, rng_rand, rng_rand_float
from tiledsl.language.reducers import (
    alloc_reducer,
    attr,
    comm_reducer,
    evaluate,
    finalize_reducer,
    reducer_init,
    reducer_update,
    thread_allreduce,
    tvm_thread_allreduce,
)
from tiledsl.language.reductions import (
    all_of,
    any_of,
    cummax,
    cumsum,
    reduce,
    reduce_absmax,
    reduce_abssum,
    reduce_bitand,
    reduce_bitor,
    reduce_bitxor,
    reduce_max,
    reduce_min,
    reduce_sum,
)
from tiledsl.language.roles import (
    WarpSpecialize,
    annotate_consumer_reg_alloc,
    annotate_producer_reg_dealloc,
    dec_max_nreg,
    disable_warp_group_reg_alloc,
    inc_max_nreg,
    no_set_max_nreg,
    set_max_nreg,
    ws,
)
from tiledsl.language.scalars import (
    Cast,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    cast,
    ceildiv,
    clamp,
    clz,
    dp4a,
    fdiv,
    floordiv,
    floormod,
    if_then_else,
    infinity,
    logical_and,
    logical_not,
    logical_or,
    max_value,
    min_value,
    popcount,
    reinterpret,
    shift_left,
    shift_right,
    truncdiv,
    truncmod,
)
from tiledsl.language.scalars import absolute as abs
from tiledsl.language.scalars import if_then_else as Select
from tiledsl.language.scalars import maximum as max
from tiledsl.language.scalars import minimum as min
from tiledsl.language.scalars import pow_ as pow
from tiledsl.language.schedules import (
    WSOpRef,
    WSPipeline,
    WSRole,
    WSSchedule,
    WSScope,
    WSSync,
    annotate_ws_schedule,
    ws_op,
)
from tiledsl.language.sparse import gemm_sp
from tiledsl.language.tile_schedulers import BaseTileScheduler, PersistentTileScheduler
from tiledsl.language.tiles import GemmWarpPolicy, c2d_im2col, clear, copy, fill, gemm, im2col, transpose
from tiledsl.language.unsupported import UNSUPPORTED
from tiledsl.language.warpgroups import ptx_wgmma_rs, ptx_wgmma_ss
from tiledsl.language.warps import (
    activemask,
    all_sync,
    any_sync,
    ballot,
    ballot_sync,
    get_lane_idx,
    get_warp_group_idx,
    get_warp_idx,
    get_warp_idx_sync,
    match_all_sync,
    match_any_sync,
    shfl,
    shfl_down,
    shfl_sync,
    shfl_up,
    shfl_xor,
    shuffle_elect,
    sync_warp,
    syncthreads_and,
    syncthreads_count,
    syncthreads_or,
    warp_reduce_bitand,
    warp_reduce_bitor,
    warp_reduce_max,
    warp_reduce_min,
    warp_reduce_sum,
)
from tiledsl.language.widths import __ldg, ldg32, ldg64, ldg128, stg32, stg64, stg128

Buffer = Tensor
symbolic = dynamic
gemm_v1 = gemm_v2 = gemm
sync_global = sync_grid

int4 = _WORDS["int4"]
int8 = _WORDS["int8"]
int16 = _WORDS["int16"]
int32 = _WORDS["int32"]
int64 = _WORDS["int64"]
uint4 = _WORDS["uint4"]
uint8 = _WORDS["uint8"]
uint16 = _WORDS["uint16"]
uint32 = _WORDS["uint32"]
uint64 = _WORDS["uint64"]
float64 = _WORDS["float64"]
float32 = _WORDS["float32"]
tfloat32 = _WORDS["tfloat32"]
float16 = _WORDS["float16"]
bfloat16 = _WORDS["bfloat16"]
float8_e4m3fn = _WORDS["float8_e4m3fn"]
float8_e5m2 = _WORDS["float8_e5m2"]
float8_e4m3fnuz = _WORDS["float8_e4m3fnuz"]
float8_e5m2fnuz = _WORDS["float8_e5m2fnuz"]
float8_e8m0fnu = _WORDS["float8_e8m0fnu"]
float6_e2m3fn = _WORDS["float6_e2m3fn"]
float6_e3m2fn = _WORDS["float6_e3m2fn"]
float4_e2m1fn = _WORDS["float4_e2m1fn"]
index = _WORDS["index"]
float8_e4m3 = _WORDS["float8_e4m3fn"]
half = _WORDS["float16"]
double = _WORDS["float64"]
bool = _WORDS["bool"]
int = _WORDS["int32"]
float = _WORDS["float32"]

# fmt: off
__all__ = [
    "BaseTileScheduler", "Buffer", "CUDASourceCodeKernel", "Cast", "ClusterKernel", "Fragment", "GemmWarpPolicy",
    "Kernel", "Layout", "Parallel", "Persistent", "PersistentTileScheduler", "Pipelined", "Ref", "Select", "Serial",
    "StridedTensor", "Tensor", "TensorCoreIntrinEmitter", "WSOpRef", "WSPipeline", "WSRole", "WSSchedule", "WSScope",
    "WSSync", "WarpSpecialize", "__cos", "__exp", "__exp2", "__exp10", "__ldg", "__log", "__log2", "__log10", "__sin",
    "__tan", "abs", "abs2", "access_ptr", "acos", "activemask", "add2", "address_of", "all_of", "all_sync",
    "alloc_barrier", "alloc_fragment", "alloc_global", "alloc_local", "alloc_reducer", "alloc_shared", "alloc_var",
    "annotate_compile_flags", "annotate_consumer_reg_alloc", "annotate_l2_hit_ratio", "annotate_layout",
    "annotate_min_blocks_per_sm", "annotate_pass_configs", "annotate_producer_reg_dealloc", "annotate_restrict_buffers",
    "annotate_safe_value", "annotate_ws_schedule", "any_of", "any_sync", "asin", "assume", "async_copy", "atan",
    "atan2", "atomic_add", "atomic_addx2", "atomic_addx4", "atomic_load", "atomic_max", "atomic_min", "atomic_or",
    "atomic_store", "attr", "ballot", "ballot_sync", "barrier_arrive", "barrier_wait", "bfloat16", "bitwise_and",
    "bitwise_not", "bitwise_or", "bitwise_xor", "block_rank_in_cluster", "bool", "c2d_im2col", "call_extern",
    "call_pure_extern", "cast", "ceil", "ceildiv", "clamp", "clear", "cluster_arrive", "cluster_arrive_relaxed",
    "cluster_sync", "cluster_wait", "clz", "comm_reducer", "const", "copy", "copy_cluster", "cos", "cosh",
    "cp_async_barrier_noinc", "create_list_of_mbarrier", "create_tma_descriptor", "cummax", "cumsum", "dec_max_nreg",
    "device_assert", "disable_warp_group_reg_alloc", "double", "dp4a", "dynamic", "empty", "erf", "evaluate", "exp",
    "exp2", "exp10", "fast_rcp", "fdiv", "fence_proxy_async", "fill", "finalize_reducer", "float", "float4_e2m1fn",
    "float6_e2m3fn", "float6_e3m2fn", "float8_e4m3", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
    "float8_e5m2fnuz", "float8_e8m0fnu", "float16", "float32", "float64", "floor", "floordiv", "floormod", "fma",
    "fma2", "fmod", "gemm", "gemm_sp", "gemm_v1", "gemm_v2", "get_block_binding", "get_block_bindings",
    "get_block_extent", "get_block_extents", "get_lane_idx", "get_mbarrier", "get_thread_binding",
    "get_thread_bindings", "get_thread_extent", "get_thread_extents", "get_warp_group_idx", "get_warp_idx",
    "get_warp_idx_sync", "half", "ieee_add", "ieee_fdiv", "ieee_fmaf", "ieee_frcp", "ieee_frsqrt", "ieee_fsqrt",
    "ieee_mul", "ieee_sub", "if_then_else", "im2col", "import_source", "inc_max_nreg", "index", "infinity", "inline",
    "int", "int4", "int8", "int16", "int32", "int64", "isfinite", "isinf", "isnan", "launch_thread", "ldg32", "ldg64",
    "ldg128", "log", "log2", "log10", "logical_and", "logical_not", "logical_or", "loop_break", "macro",
    "make_full_bank_swizzled_layout", "make_half_bank_swizzled_layout", "make_linear_layout",
    "make_quarter_bank_swizzled_layout", "make_swizzled_layout", "make_tensor", "match_all_sync", "match_any_sync",
    "max", "max2", "max_value", "mbarrier_arrive", "mbarrier_arrive_expect_tx", "mbarrier_expect_tx",
    "mbarrier_wait_parity", "meta_class", "min", "min2", "min_value", "mma_store", "mul2", "named_barrier_arrive",
    "no_set_max_nreg", "pdl_sync", "pdl_trigger", "plot_layout", "popcount", "pow", "print", "ptr", "ptx_commit_group",
    "ptx_ldmatrix", "ptx_mma", "ptx_wait_group", "ptx_wgmma_rs", "ptx_wgmma_ss", "reduce", "reduce_absmax",
    "reduce_abssum", "reduce_bitand", "reduce_bitor", "reduce_bitxor", "reduce_max", "reduce_min", "reduce_sum",
    "reducer_init", "reducer_update", "reinterpret", "reshape", "rng_init", "rng_rand", "rng_rand_float", "round",
    "rsqrt", "serial", "set_max_nreg", "shfl", "shfl_down", "shfl_sync", "shfl_up", "shfl_xor", "shift_left",
    "shift_right", "shuffle_elect", "sigmoid", "sin", "sinh", "sqrt", "stg32", "stg64", "stg128", "sub2", "symbolic",
    "sync_global", "sync_grid", "sync_threads", "sync_warp", "syncthreads_and", "syncthreads_count", "syncthreads_or",
    "tan", "tanh", "tfloat32", "thread_allreduce", "thread_binding", "tma_copy", "tma_load", "tma_store_arrive",
    "tma_store_wait", "transpose", "trunc", "truncdiv", "truncmod", "tvm_access_ptr", "tvm_thread_allreduce", "uint4",
    "uint8", "uint16", "uint32", "uint64", "unroll", "use_swizzle", "vectorized", "view", "wait_wgmma",
    "warp_reduce_bitand", "warp_reduce_bitor", "warp_reduce_max", "warp_reduce_min", "warp_reduce_sum",
    "warpgroup_arrive", "warpgroup_commit_batch", "warpgroup_fence_operand", "warpgroup_wait", "wgmma_gemm", "ws",
    "ws_op",
]
# fmt: on


class UnknownWord(TileError, AttributeError):
    """An unknown or unsupported word; also an AttributeError, so that `hasattr(T, name)` works."""


def __getattr__(name: str) -> Any:
    """Raises for a name that is no word: TileError TD0103 for one that is planned, TD0102 for any other."""
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(name)
    if name in UNSUPPORTED:
        found = error("TD0103", word=name, hint=UNSUPPORTED[name])
    else:
        close = get_close_matches(name, [*__all__, *UNSUPPORTED], 1)
        found = error("TD0102", word=name, hint=f"did you mean T.{close[0]}?" if close else "see docs/language.md")
    raise UnknownWord(found.code, found.message, here(), found.hint)
