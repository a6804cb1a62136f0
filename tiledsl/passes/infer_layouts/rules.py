"""What each tile statement demands of the layouts of its buffers, one pure rule for each kind (algorithms.md B.5, B.6).

A rule looks at the layouts that are known and answers with demands or with a clash; it changes nothing. Strict demands
come from instructions, common ones follow from known layouts, free ones are made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from tiledsl.analysis.gemm_plan import ANNOTATED, OperandPlan, Read, plan_gemm
from tiledsl.analysis.layout_tables import compared, contains
from tiledsl.analysis.loop_access import LoopAccess
from tiledsl.analysis.vector_width import ACCESS_BITS, memory_accesses, widest_vector
from tiledsl.errors import error
from tiledsl.ir.layout import Fragment, Layout, fully_replicated, row_major
from tiledsl.ir.layout_ops import canonical, expand_dim, permute_dims, reduce_dim, separable_partition
from tiledsl.ir.nodes import AtomicUpdate, Buffer, Region, Space, Stmt, Store, Var, static_shape
from tiledsl.ir.printer import text
from tiledsl.ir.tile import REARRANGEMENTS, Atomic, Copy, Fill, Gemm, Parallel, Reduce, Scan
from tiledsl.ir.walk import walk
from tiledsl.passes.infer_layouts.demands import Assignment, Clash, Demands, Known, Level, Op, Setting
from tiledsl.passes.infer_layouts.loops import (
    Misfit,
    fragment_from_loop,
    fragment_of_part,
    loop_by_element,
    loop_from_fragment,
    misfit,
    plans,
    registers_are_static,
)
from tiledsl.passes.infer_layouts.moved import movable

# ----------------------------------------------------------------------------------------------- element-wise loops


def loop_rule(op: Op, known: Known, level: Level, setting: Setting, variant: int = 0) -> Demands | Clash:
    """Fragments that every thread must hold; then what the chosen loop layout demands of the fragments."""
    if level is Level.STRICT:
        return _held_everywhere(op, setting)
    if level is Level.FREE and variant:
        parts = {b: fragment_of_part(a, setting.num_threads) for b, a in op.by_buffer.items() if b not in known}
        if any(parts.values()):
            return {b: Assignment(f, op.title, op.stmt.span, level) for b, f in parts.items() if f is not None}
    loop = choose_loop(op, known, level, setting, variant)
    if loop is None or isinstance(loop, Clash):
        return loop or {}
    demands: Demands = {}
    for buffer, accesses in op.by_buffer.items():
        if buffer not in known:
            f = fragment_from_loop(loop, accesses)
            if f is None:
                why = "different threads write the same element, or its indices are not regular"
                return Clash(error("TD0305", op.stmt.span, buffer=buffer.name, why=why))
            demands[buffer] = Assignment(f, op.title, op.stmt.span, level)
        elif _must_grow(loop, known[buffer], accesses):
            f = fragment_from_loop(loop, accesses)
            if f is not None:
                demands[buffer] = Assignment(f, op.title, op.stmt.span, level)
    return demands


def _held_everywhere(op: Op, setting: Setting) -> Demands:
    demands: Demands = {}
    for buffer, accesses in op.by_buffer.items():
        if all(a.is_pointless for a in accesses):
            f = fully_replicated(static_shape(buffer), setting.num_threads)
            index = ", ".join(text(i) for i in accesses[0].indices)
            why = f"every thread accesses '{buffer.name}[{index}]'"
            demands[buffer] = Assignment(f, why, accesses[0].span, uniform=index)
    return demands


def _must_grow(loop: Fragment, old: Assignment, accesses: Sequence[LoopAccess]) -> bool:
    """Whether a fragment that nobody fixed lacks owners which the loop needs."""
    if old.level is Level.STRICT or not isinstance(old.layout, Fragment):
        return False
    return misfit(loop, {accesses[0].buffer: old.layout}, accesses) is not None


def choose_loop(op: Op, known: Known, level: Level, setting: Setting, variant: int = 0) -> Fragment | Clash | None:
    """The loop layout; None if at this level nothing decides it yet; a clash if no candidate fits all known fragments.

    Precedence: the user's; that of a written fragment; that of a fragment read without replicas; at level FREE also
    those of replicated fragments and plain plans, of which the one that keeps registers static and has the fewest
    replicas is taken.
    """
    stmt = op.stmt
    assert isinstance(stmt, Parallel)
    fragments = {b: a.layout for b, a in known.items() if b in op.by_buffer and isinstance(a.layout, Fragment)}
    # A fragment that nobody fixed may still grow, so reading it rules nothing out.
    firm = {b: f for b, f in fragments.items() if known[b].level is Level.STRICT or level is Level.FREE}
    refused: list[Misfit] = []

    def fitting(candidates: Sequence[Fragment]) -> list[Fragment]:
        good = []
        for c in candidates:
            bad = misfit(c, firm, op.accesses)
            refused.append(bad) if bad else good.append(c)
        return good

    if stmt.layout is not None:
        good = fitting([stmt.layout])
    else:
        good = fitting(_from_written(op, fragments)) or fitting(_from_read(op, fragments))[:1]
        if not good and level is Level.FREE:
            by_element = loop_by_element(op.accesses, setting.num_threads) if variant else None
            made_up = [by_element] if by_element else _plans(op, known, setting)[variant:]
            good = fitting([*_from_replicated(op, fragments), *made_up])
            if len(good) > 1:
                good = [_best(op, good, fragments)]
    if good:
        return good[0]
    return _clash(op, known, refused[0]) if refused else None


def _from_written(op: Op, fragments: Mapping[Buffer, Fragment]) -> list[Fragment]:
    found = [loop_from_fragment(fragments[a.buffer], a) for a in op.accesses if a.writes and a.buffer in fragments]
    return [f for f in found if f is not None]


def _from_read(op: Op, fragments: Mapping[Buffer, Fragment]) -> list[Fragment]:
    """Candidates from fragments of one owner per element, those with most dimensions first."""
    reads = [a for a in op.accesses if not a.writes and a.buffer in fragments]
    sources = [a for a in reads if fragments[a.buffer].replication == 1]
    sources.sort(key=lambda a: -len([d for d in a.dims or () if d is not None]))
    found = [loop_from_fragment(fragments[a.buffer], a) for a in sources]
    return [f for f in found if f is not None]


def _from_replicated(op: Op, fragments: Mapping[Buffer, Fragment]) -> list[Fragment]:
    reads = [a for a in op.accesses if a.buffer in fragments and fragments[a.buffer].replication > 1]
    reads.sort(key=lambda a: -len(a.indices))
    found = [loop_from_fragment(fragments[a.buffer], a) for a in reads]
    return [f for f in found if f is not None]


def _plans(op: Op, known: Known, setting: Setting) -> list[Fragment]:
    stmt = op.stmt
    assert isinstance(stmt, Parallel)
    return list(plans(stmt.extents, setting.num_threads, loop_width(op, known, setting), bool(op.accesses)))


def loop_width(op: Op, known: Known, setting: Setting) -> int:
    """Elements per access: the user's width, else the widest that is legal. Raises TileError TD0309."""
    stmt = op.stmt
    assert isinstance(stmt, Parallel)
    if stmt.width:
        bits = max((a.buffer.dtype.bits for a in memory_accesses(stmt)), default=8)
        if stmt.extents[-1] % stmt.width or stmt.width * bits > ACCESS_BITS or stmt.width & (stmt.width - 1):
            why = f"the last extent is {stmt.extents[-1]}, elements have {bits} bits"
            raise error("TD0309", stmt.span, width=stmt.width, why=why)
        return stmt.width
    layouts = {b: known[b].layout for b in op.uses if b.space is Space.SHARED and b in known}
    key = (op.index, *layouts.items())
    if key not in setting.widths:
        setting.widths[key] = widest_vector(stmt, layouts, setting.divisors, setting.ranges)
    return setting.widths[key]


def _best(op: Op, good: Sequence[Fragment], fragments: Mapping[Buffer, Fragment]) -> Fragment:
    reads = [a for a in op.accesses if a.buffer in fragments]
    only_memory = stores_memory(op.stmt) and not any(a.writes for a in op.accesses)

    def key(loop: Fragment) -> tuple[bool, int]:
        static = not only_memory or all(registers_are_static(loop, fragments[a.buffer], a) for a in reads)
        return not static, loop.replication

    return min(good, key=key)


def stores_memory(stmt: Stmt) -> bool:
    """Whether the loop writes what other threads can see."""
    return any(
        isinstance(n, (Store, AtomicUpdate)) and n.buffer.space in (Space.GLOBAL, Space.SHARED) for n in walk(stmt)
    )


def _clash(op: Op, known: Known, bad: Misfit) -> Clash:
    a = bad.access
    held = known[a.buffer]
    note = ((f"'{a.buffer.name}' got its layout from {held.why}", held.span),)
    others = [
        (f"'{b.name}' got its layout from {known[b].why}", known[b].span)
        for b in op.by_buffer
        if b is not a.buffer and b in known
    ]
    serial = _uneven_index(a)
    if serial and not a.writes:
        why = f"{held.why} spreads it over the threads"
        return Clash(error("TD0302", a.span, note, buffer=a.buffer.name, index=serial, why=why))
    assert isinstance(held.layout, Fragment)
    needed = fragment_from_loop(bad.loop, (a,)) or bad.loop
    pictures = compared(f"'{a.buffer.name}'", held.layout, "what the statement needs", needed)
    code = "TD0303" if a.writes else "TD0301"
    what = f"this statement reads '{a.buffer.name}' in threads that do not hold it"
    return Clash(error(code, a.span, (*note, *others), buffer=a.buffer.name, what=what, pictures=pictures))


def _uneven_index(a: LoopAccess) -> str:
    """The name of a variable that is no loop variable of the nest but indexes the fragment; "" if there is none."""
    for index in a.indices:
        for n in walk(index):
            if isinstance(n, Var) and n not in a.vars:
                return n.name
    return "a loaded value" if a.foreign is not None else ""


# ----------------------------------------------------------------------------------------------------- instructions


def gemm_rule(op: Op, known: Known, level: Level, setting: Setting, variant: int = 0) -> Demands | Clash:
    """The layouts of the chosen instruction, all at once and strict."""
    stmt = op.stmt
    assert isinstance(stmt, Gemm)
    if level is not Level.STRICT:
        return {}
    given = {b: a.layout for b, a in known.items() if a.why in ANNOTATED}
    plan = plan_gemm(stmt, setting.num_threads, setting.target, given)
    demands: Demands = {}
    parts: tuple[tuple[str, Region, Fragment | Layout, Fragment | None], ...] = (
        ("c", stmt.c, plan.c, None),
        ("a", stmt.a, plan.a.layout, _reader(stmt.a, plan.a, stmt.transpose_a)),
        ("b", stmt.b, plan.b.layout, _reader(stmt.b, plan.b, stmt.transpose_b)),
    )
    if stmt.e is not None and plan.e is not None:
        parts = (*parts, ("e", stmt.e, plan.e, None))
    instead = f", by {plan.kind}: {plan.refused}" if plan.refused else ""
    for role, region, layout, reader in parts:
        if region.buffer in setting.moved and isinstance(layout, Layout) and region.buffer not in given:
            layout = movable(region.buffer, layout, setting.moved, reader)
        demands.setdefault(region.buffer, Assignment(layout, f"operand {role} of T.gemm{instead}", stmt.span))
    return demands


def _reader(region: Region, plan: OperandPlan, transposed: bool) -> Fragment | None:
    """Which elements of a whole tile each thread reads for itself, as the tile is stored; None if it is not so read."""
    if plan.read is not Read.ELEMENTS:
        return None
    stored = permute_dims(plan.held, (1, 0)) if transposed else plan.held
    return stored if stored is not None and stored.shape == static_shape(region.buffer) else None


def reduce_rule(op: Op, known: Known, level: Level, setting: Setting, variant: int = 0) -> Demands | Clash:
    """The result is held by all threads that held a part of it (A.4); a known result must lie inside."""
    stmt = op.stmt
    assert isinstance(stmt, Reduce)
    src, dst = stmt.src.buffer, stmt.dst.buffer
    if level is Level.STRICT:
        return {}
    if src.space is not Space.FRAGMENT:
        free = level is Level.FREE and dst.space is Space.FRAGMENT and dst not in known
        return {dst: _made_up(op, dst, setting)} if free else {}
    demands: Demands = {}
    if src not in known:
        if level is not Level.FREE:
            return {}
        demands[src] = _reducible(op, src, dst, known, setting, variant)
    layout = (known.get(src) or demands[src]).layout
    assert isinstance(layout, Fragment)
    derived = reduce_dim(layout, stmt.dim)
    if derived is None:
        why = "its digits cross the rows"
        return Clash(error("TD0317", stmt.span, dim=stmt.dim, buffer=src.name, why=why))
    if dst.space is not Space.FRAGMENT:
        return demands
    derived = canonical(Fragment(static_shape(dst), derived.threads, derived.regs))
    held = known.get(dst)
    if held is None:
        demands[dst] = Assignment(derived, op.title, stmt.span, level)
    elif isinstance(held.layout, Fragment) and not contains(derived, held.layout):
        source = known.get(src) or demands[src]
        notes = (
            (f"'{dst.name}' got its layout from {held.why}", held.span),
            (f"'{src.name}' got its layout from {source.why}", source.span),
        )
        pictures = compared(f"'{dst.name}'", held.layout, "the result of the reduction", derived)
        what = f"the reduction leaves its result in threads that are not those of '{dst.name}'"
        return Clash(error("TD0301", stmt.span, notes, buffer=dst.name, what=what, pictures=pictures))
    return demands


def _made_up(op: Op, buffer: Buffer, setting: Setting) -> Assignment:
    shape = static_shape(buffer)
    return Assignment(next(plans(shape, setting.num_threads, 1, True)), op.title, op.stmt.span, Level.FREE)


def _reducible(op: Op, src: Buffer, dst: Buffer, known: Known, setting: Setting, variant: int) -> Assignment:
    """A layout for the source of a reduction: separable, or following the result's."""
    stmt = op.stmt
    assert isinstance(stmt, Reduce)
    shape = static_shape(src)
    layout: Fragment | None = separable_partition(shape, setting.num_threads)
    held = known.get(dst)
    if variant and held is not None and isinstance(held.layout, Fragment):
        kept = tuple(n for d, n in enumerate(shape) if d != stmt.dim)
        layout = expand_dim(Fragment(kept, held.layout.threads, held.layout.regs), stmt.dim, shape[stmt.dim])
    return Assignment(layout or separable_partition(shape, setting.num_threads), op.title, stmt.span, Level.FREE)


def scan_rule(op: Op, known: Known, level: Level, setting: Setting, variant: int = 0) -> Demands | Clash:
    """Shared operands are row-major; fragments go through shared memory, so any layout does, the same on both sides."""
    stmt = op.stmt
    assert isinstance(stmt, Scan)
    sides = (stmt.src.buffer, stmt.dst.buffer)
    demands: Demands = {}
    if level is Level.STRICT:
        for b in sides:
            if b.space is Space.SHARED:
                demands[b] = Assignment(row_major(static_shape(b)), op.title, stmt.span)
        return demands
    for b, other in (sides, sides[::-1]):
        if b.space is Space.FRAGMENT and b not in known:
            held = known.get(other)
            if held and isinstance(held.layout, Fragment) and prod(held.layout.shape) == prod(static_shape(b)):
                f = Fragment(static_shape(b), held.layout.threads, held.layout.regs)
                demands[b] = Assignment(f, op.title, stmt.span, level)
            elif level is Level.FREE:
                demands[b] = _made_up(op, b, setting)
    return demands


def copy_rule(op: Op, known: Known, level: Level, setting: Setting, variant: int = 0) -> Demands | Clash:
    """Of a copy to another block, the only one that is no loop: a tile without a layout gets that of the other side."""
    stmt = op.stmt
    assert isinstance(stmt, Copy)
    if level is Level.STRICT:
        return {}
    demands: Demands = {}
    for b, other in ((stmt.src.buffer, stmt.dst.buffer), (stmt.dst.buffer, stmt.src.buffer)):
        if b not in known and other in known and static_shape(b) == static_shape(other):
            why = f"'{other.name}', between which and it T.copy_cluster moves bytes as they are"
            demands[b] = Assignment(known[other].layout, why, stmt.span, level)
    return demands


Rule = Callable[[Op, Known, Level, Setting, int], "Demands | Clash"]

RULES: dict[type[Stmt], Rule] = {
    Copy: copy_rule,
    Fill: loop_rule,
    Atomic: loop_rule,
    **dict.fromkeys(REARRANGEMENTS, loop_rule),
    Parallel: loop_rule,
    Gemm: gemm_rule,
    Reduce: reduce_rule,
    Scan: scan_rule,
}
