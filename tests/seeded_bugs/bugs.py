"""The table of seeded bugs, by part of the compiler."""

from __future__ import annotations

from collections.abc import Mapping

import bugs_cpu
import bugs_hopper
import bugs_ir
import bugs_language
import bugs_loads
import bugs_threads
import bugs_tiles
import bugs_warps
from bug import Bug

GROUPS: Mapping[str, tuple[Bug, ...]] = {
    "Simplifier and linear forms": bugs_ir.SIMPLIFIER,
    "Layouts and swizzles": bugs_ir.LAYOUTS,
    "Text of the IR": bugs_ir.TEXT,
    "Numbers of 4 bits": bugs_language.PACKED,
    "Software pipelining": bugs_tiles.PIPELINE,
    "Warp specialisation": bugs_warps.WARPS,
    "Tiles awaited by all threads": bugs_loads.LOADS,
    "Layout inference": bugs_tiles.INFERENCE,
    "Lowering to threads": bugs_tiles.LOWERING,
    "Tensor cores and copy engine of sm_90a": bugs_hopper.TENSOR_CORES,
    "Operands that are transposed": bugs_hopper.OPERANDS,
    "Barriers": bugs_threads.BARRIERS,
    "Fences between proxies": bugs_hopper.FENCES,
    "Shared memory": bugs_threads.SHARED,
    "Guards, vectors, widths": bugs_threads.SCALAR,
    "CUDA text": bugs_threads.EMITTER,
    "Executions on the CPU": bugs_cpu.EXECUTIONS,
}
BUGS: tuple[Bug, ...] = tuple(b for group in GROUPS.values() for b in group)
