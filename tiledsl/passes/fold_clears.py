"""fold-clears: a product that adds to zeros writes instead."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.analysis.access import accesses
from tiledsl.analysis.boxes import whole_region
from tiledsl.ir.nodes import Block, Buffer, Const, Kernel, Stmt
from tiledsl.ir.tile import Fill, Gemm
from tiledsl.ir.walk import map_blocks
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import tile_stage
from tiledsl.target import Target


@kernel_pass(requires=(tile_stage,), ensures=(tile_stage,))
def fold_clears(kernel: Kernel, *, target: Target) -> Kernel:
    """`fill c, 0` whose first user is `gemm a, b, c` becomes `gemm(clear) a, b, c`.

    Only for tensor cores that can ignore the old accumulator (wgmma); for the others the zeros are needed all the same.
    """
    if "wgmma" not in target.features:
        return kernel
    return replace(kernel, launches=tuple(map_blocks(launch, _block) for launch in kernel.launches))


def _block(block: Block) -> Block:
    out: list[Stmt | None] = [map_blocks(s, _block) for s in block]
    for i, s in enumerate(out):
        if not isinstance(s, Fill) or not _is_clear(s):
            continue
        users = (j for j in range(i + 1, len(out)) if _touches(out[j], s.dst.buffer))
        user = next(users, None)
        if user is None:
            continue
        gemm = out[user]
        if isinstance(gemm, Gemm) and gemm.c == s.dst and s.dst.buffer not in (gemm.a.buffer, gemm.b.buffer):
            out[i], out[user] = None, replace(gemm, clear=True)
    return tuple(s for s in out if s is not None)


def _is_clear(s: Fill) -> bool:
    match s.value:
        case Const(value):
            return value == 0 and s.dst == whole_region(s.dst.buffer)
    return False


def _touches(s: Stmt | None, buffer: Buffer) -> bool:
    return s is not None and any(a.buffer is buffer for a in accesses(s))
