"""The programs in which the examples of docstrings stand, and how to trace them there.

An example is code in backquotes. It stands at the dots of a program: of the one that docs/language.md shows, unless a
table below has another one for its word. What is no statement has a place of its own: an annotation is a parameter, a
decorator stands above a function.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Mapping
from typing import Any

from tiledsl.frontend.trace import trace_kernel
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.verify import verify
from tiledsl.tools.language_docs import EXAMPLE_PROGRAM

SIZES = {"M": 1024, "N": 1024}  # of the call, for T.const


def block(*lines: str) -> str:
    """The program with these lines in its block, one of which are the dots."""
    return filled(EXAMPLE_PROGRAM, "\n".join(lines))


def ahead(*lines: str) -> str:
    """The program with these lines ahead of the example."""
    return block(*lines, "...")


def launched(how: str) -> str:
    """The program with another launch."""
    return EXAMPLE_PROGRAM.replace("threads=128", how)


def outside(text: str, use: str = "T.clear(C_local)") -> str:
    """The program with `text`, which has the example, in front of it, and `use` in its block."""
    return f"import tiledsl.language as T\n{text}\n{filled(EXAMPLE_PROGRAM, use)}"


def kernel(parameters: str, *lines: str, launch: bool = True) -> str:
    """A program of these parameters, with lines ahead of an empty launch."""
    body = [*lines, *(("with T.Kernel(1):", "    pass") if launch else ())]
    head = f"import tiledsl.language as T\nM = N = K = 1024\ndef program(\n    {parameters}\n):\n"
    return head + "".join(f"    {line}\n" for line in body)


def filled(program: str, example: str) -> str:
    """A program with an example at its dots; a header gets a body, unless the program has one for it."""
    lines = program.splitlines()
    at = next(n for n, line in enumerate(lines) if line.strip() == "...")
    indent = lines[at].removesuffix("...")
    following = lines[at + 1] if at + 1 < len(lines) else ""
    body = ["    pass"] if example.endswith(":") and not following.startswith(f"{indent} ") else []
    lines[at : at + 1] = [indent + line for line in (*example.split("\n"), *body)]
    return "\n".join(lines) + "\n"


def _for(program: str, *words: str) -> dict[str, str]:
    return dict.fromkeys(words, program)


_CLUSTER_WORDS = (
    *("block_rank_in_cluster", "cluster_sync", "cluster_arrive", "cluster_arrive_relaxed", "cluster_wait"),
    *("copy_cluster", "barrier_arrive", "mbarrier_arrive"),
)
_LOCALS = (
    "a_local = T.alloc_local((8,), T.float16)",
    "b_local = T.alloc_local((4,), T.float16)",
    "c_local = T.alloc_local((4,), T.float32)",
)
_BITS = ("bits = T.alloc_fragment((64, 64), T.int32)", "all_bits = T.alloc_fragment((64,), T.int32)")
_REDUCER = "r = T.alloc_reducer((64,), T.float32)"
_SPARSE = ("A_sparse = T.alloc_shared((64, 16), T.float16)", "E = T.alloc_fragment((64, 2), T.uint16)")
_SCHEDULE = (
    'load = T.WSRole("load", warps_lo=4, warps_hi=8)',
    'compute = T.WSRole("compute", warps_lo=0, warps_hi=4)',
    'ab = T.WSPipeline("ab", [A_shared, B_shared], depth=3)',
    'root = T.WSScope(T.WSScope.ROOT, {"load": ["loop"], "compute": ["loop"]})',
    'loop = T.WSScope("loop", {"load": ["copy"], "compute": ["gemm"]})',
)
_PRODUCT = (
    "for step in T.Pipelined(K // 32):",
    "    T.copy(A[by * 64, step * 32], A_shared)",
    "    T.copy(B[step * 32, bx * 64], B_shared)",
    "    T.gemm(A_shared, B_shared, C_local)",
    "T.copy(C_local, C[by * 64, bx * 64])",
)
_TEXT = 'text = "__global__ void add(const float* x, float* y) { y[blockIdx.x] += x[blockIdx.x]; }"'
_VECTORS = "X: T.Tensor((N,), T.float32), Y: T.Tensor((N,), T.float32), n: T.int32"
_COUNTER = "class Counter:\n    def __init__(self):\n        self.n = T.alloc_var(T.int32, 0)"
_METHOD = "    def update_current_idx(self, linear_idx):\n        self.m_idx[0] = linear_idx"

# By word; for all others EXAMPLE_PROGRAM.
STATEMENTS: Mapping[str, str] = {
    **_for(kernel("A", "...", "A: T.Tensor((M, N), T.float16)"), "const"),
    **_for(kernel("p: T.ptr, n: T.int32", "..."), "ptr", "make_tensor"),
    **_for(kernel(_VECTORS, "..."), "empty"),
    **_for(kernel(_VECTORS, "...", launch=False), "Kernel", "ClusterKernel", "launch_thread"),
    **_for(kernel(_VECTORS, _TEXT, "...", launch=False), "CUDASourceCodeKernel"),
    **_for(outside("..."), "dynamic", "symbolic"),
    **_for(outside("@T.macro\n...", "v = T.alloc_var(T.int32, 0)\ninc(v)"), "Ref"),
    **_for(outside(f"...\n{_METHOD}", "s = Mine('s')\ns.init(n)"), "BaseTileScheduler"),
    **_for(launched("cluster_dims=2, threads=128"), *_CLUSTER_WORDS),
    **_for(launched("threads=384"), "ws", "WarpSpecialize", "named_barrier_arrive"),
    **_for(block("for k in T.serial(n):", "    ..."), "loop_break"),
    **_for(block("Y[i] = x", "...", "Y[i] = y"), "sync_grid", "sync_global"),
    **_for(ahead("T.create_list_of_mbarrier(128, 128)"), "get_mbarrier"),
    **_for(ahead(*_LOCALS), "ptx_ldmatrix", "ptx_mma", "mma_store"),
    **_for(ahead("A_local = T.alloc_fragment((64, 16), T.float16)"), "ptx_wgmma_rs"),
    **_for(ahead(_REDUCER), "reducer_init"),
    **_for(ahead(_REDUCER, "T.clear(r)"), "finalize_reducer"),
    **_for(block(_REDUCER, "T.clear(r)", "...", "T.finalize_reducer(r)"), "alloc_reducer", "reducer_update"),
    **_for(ahead("total = T.alloc_local((1,), T.float32)"), "tvm_thread_allreduce"),
    **_for(ahead(*_BITS), "reduce_bitand", "reduce_bitor", "reduce_bitxor"),
    **_for(ahead("T.rng_init(42)"), "rng_rand", "rng_rand_float"),
    **_for(ahead(*_SCHEDULE), "WSSchedule"),
    **_for(block("...", *_PRODUCT), "annotate_ws_schedule"),
    **_for(ahead(*_SPARSE), "gemm_sp"),
    **_for(ahead("image = T.alloc_global((8, 32, 32, 64), T.float16)"), "im2col", "c2d_im2col"),
}
ANNOTATIONS: Mapping[str, str] = {"ptr": kernel("n: T.int32,\n    ...", 'A = T.make_tensor(p, (n, 64), "float16")')}
DECORATORS: Mapping[str, str] = {"meta_class": outside(f"...\n{_COUNTER}", "counter = Counter()")}
_PARAMETER = kernel("...")
_FUNCTION = outside("...\ndef twice(v):\n    return v + v", "y = twice(x)")


def program_of(word: str, example: str) -> str:
    """The program in which an example of a word stands."""
    if example.startswith("@"):
        return DECORATORS.get(word, _FUNCTION)
    if re.match(r"\w+: T\.", example):
        return ANNOTATIONS.get(word, _PARAMETER)
    return STATEMENTS.get(word, EXAMPLE_PROGRAM)


def trace_example(word: str, example: str) -> Kernel:
    """The program of an example as IR. Raises whatever is wrong with it."""
    program = filled(program_of(word, example), example)
    file = f"<{word}: {example}>"
    linecache.cache[file] = (len(program), None, program.splitlines(keepends=True), file)
    scope: dict[str, Any] = {"__name__": "example"}
    exec(compile(program, file, "exec"), scope)
    function = scope["program"]
    traced = trace_kernel(getattr(function, "fn", function), SIZES, {})
    verify(traced)
    return traced
