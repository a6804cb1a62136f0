"""How threads multiply tiles: instruction, arrangement of warps, and the layouts that these demand of a, b and c."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.analysis.gemm_plan.fma import plan_fma
from tiledsl.analysis.gemm_plan.mma import plan_mma, warp_partitions
from tiledsl.analysis.gemm_plan.plan import ANNOTATED, TURNED, GemmPlan, Known, OperandPlan, Read, tile_shape
from tiledsl.analysis.gemm_plan.wgmma import across_k, plan_wgmma
from tiledsl.errors import TileError, error
from tiledsl.ir.dtypes import FLOAT8_E4M3, FLOAT8_E5M2, FLOAT32, TFLOAT32, DType
from tiledsl.ir.nodes import Space
from tiledsl.ir.tile import Gemm
from tiledsl.isa.atom import Atom
from tiledsl.isa.table import select
from tiledsl.target import Target


def plan_gemm(gemm: Gemm, num_threads: int, target: Target, layouts: Known | None = None) -> GemmPlan:
    """The plan for `gemm` by `num_threads` threads; shared buffers in `layouts` keep theirs.

    Raises TileError: TD0310 no partition of the warps, TD0311 missing feature, TD0312 no instruction for the dtypes,
    TD0313 k is no multiple of the instruction's, TD0314 an operand where it cannot be, TD0319 an asynchronous product
    that no instruction makes.
    """
    known = layouts or {}
    shape = tile_shape(gemm)
    _check_spaces(gemm)
    found = plan_wgmma(gemm, shape, num_threads, target, known)
    if isinstance(found, GemmPlan):
        return found
    if gemm.asynchronous:
        raise error("TD0319", gemm.span, why=found)
    atom = _choose_atom(gemm, target)
    if atom is None:
        plan = plan_fma(gemm, shape, num_threads, known)
    else:
        plan = plan_mma(gemm, atom, shape, num_threads, known)
    return replace(plan, refused=found if "wgmma" in target.features else "")


def runs_by_itself(gemm: Gemm, num_threads: int, target: Target) -> bool:
    """Whether the tensor core makes `gemm` by itself, while the threads go on (wgmma)."""
    try:
        return plan_gemm(gemm, num_threads, target).kind == "wgmma"
    except TileError:  # it has no plan: the user hears of it from infer-layouts
        return False


def _check_spaces(gemm: Gemm) -> None:
    operands = [("a", gemm.a), ("b", gemm.b), ("c", gemm.c), *([("e", gemm.e)] if gemm.e is not None else [])]
    for name, region in operands:
        space = region.buffer.space
        if space is Space.FRAGMENT:
            if region.extents != tuple(region.buffer.shape):
                raise error("TD0314", gemm.span, operand=name, buffer=region.buffer.name, why="a part of a fragment")
        elif space is not Space.SHARED or name in "ce":
            raise error("TD0314", gemm.span, operand=name, buffer=region.buffer.name, why=f"in {space.value} memory")


def _choose_atom(gemm: Gemm, target: Target) -> Atom | None:
    """The mma row for the dtypes, None for multiply-adds by each thread."""
    c, a, b = (r.buffer.dtype for r in (gemm.c, gemm.a, gemm.b))
    operands = [TFLOAT32 if t is FLOAT32 and gemm.precision == "tf32" else t for t in (a, b)]
    kind, given = ("mma", operands) if gemm.e is None else ("mma_sp", [*operands, gemm.e.buffer.dtype])
    found = select(kind, (c, *given), target)
    if found:
        return found[0]
    elsewhere = select(kind, (c, *given))
    if elsewhere:
        raise error("TD0311", gemm.span, a=a, b=b, c=c, feature=elsewhere[0].feature, target=target.name)
    if gemm.e is not None or a is not b or a in (FLOAT8_E4M3, FLOAT8_E5M2) or c.bits < 32 or not _widens(a, c):
        raise error("TD0312", gemm.span, a=a, b=b, c=c)
    return None


def _widens(a: DType, c: DType) -> bool:
    return a.kind is c.kind and a.bits <= c.bits


__all__ = [
    "ANNOTATED",
    "TURNED",
    "GemmPlan",
    "OperandPlan",
    "Read",
    "across_k",
    "plan_gemm",
    "runs_by_itself",
    "tile_shape",
    "warp_partitions",
]
