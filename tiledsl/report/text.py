"""The report as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tiledsl.report.accesses import UNITS, Access
from tiledsl.report.sass_stats import Mix, Overlap

if TYPE_CHECKING:
    from tiledsl.report.report import EntryReport, Report


def text(r: Report) -> str:
    sizes = "".join(f", {name} = {value}" for name, value in r.sizes.items())
    parts = [f"{r.kernel} for {r.target} ({r.gpu}){sizes}"]
    for e in r.entries:
        parts += _entry(e)
    return "\n".join([*parts, r.note] if r.note else parts)


def grid(e: EntryReport) -> str:
    return "unknown number of blocks" if e.blocks is None else f"{e.blocks} blocks"


def spills(e: EntryReport) -> str:
    return f"{e.spill_bytes} bytes spilled" if e.spill_bytes else "no spills"


def rates(m: Mix) -> str:
    """What a product costs beside the tensor cores; empty for code without them."""
    if not m.tensor:
        return ""
    return (
        f"{m.integer_per_tensor:.2f} integer instructions per tensor instruction, "
        f"{m.issue_per_tensor_cycle:.2f} issue slots per tensor cycle"
    )


def _entry(e: EntryReport) -> list[str]:
    lines = [
        f"  {e.name}: {grid(e)} of {e.threads} threads, {e.registers} registers, {spills(e)}, "
        f"{e.shared_bytes} bytes of shared memory, {e.blocks_per_sm} blocks per SM (limited by {e.limiter})"
    ]
    for space, unit in UNITS.items():
        lines += _table(f"{space} memory", unit, [a for a in e.accesses if a.space == space])
    lines += _work(e)
    lines += _roofline(e)
    return lines + _machine(e.main_loop, e.overlap)


def _table(title: str, unit: str, accesses: Iterable[Access]) -> list[str]:
    """One row for the accesses of one kind, buffer and line of the source: how often, its cost, the ideal."""
    rows = [(title, "of", "line", "requests", unit, "ideal", "")]
    for a in accesses:
        verdict = f"{a.transactions / a.ideal:.1f} times the ideal" if a.transactions > a.ideal else ""
        mark = "" if a.exact else "~"
        counts = (mark + str(a.requests), mark + str(a.transactions), mark + str(a.ideal))
        rows.append((a.op, a.buffer, a.place, *counts, verdict))
    if len(rows) == 1:
        return []
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["    " + "  ".join(cell.ljust(w) for cell, w in zip(r, widths)).rstrip() for r in rows]


def _work(e: EntryReport) -> list[str]:
    parts = [f"{_short(n)} {dtype} on tensor cores" for dtype, n in e.work.tensor.items() if n]
    parts += [f"{_short(n)} {dtype}" for dtype, n in e.work.arithmetic.items() if n]
    if e.work.special:
        parts.append(f"{_short(e.work.special)} special functions")
    t = e.traffic
    return [
        f"    operations: {', '.join(parts) or 'none'}",
        f"    bytes: {_short(t.wanted)} asked for, {_short(t.l2)} in sectors, at least {_short(t.dram)} of DRAM; "
        f"{e.roofline.intensity:.1f} operations for each of these",
    ]


def _roofline(e: EntryReport) -> list[str]:
    r = e.roofline
    parts = sorted(((t, name) for name, t in r.seconds.items() if t), reverse=True)
    if not parts:
        return []
    what = "one block" if r.per_block else f"{r.waves:.2f} waves"
    times = ", ".join(f"{name} {_time(t)}" for t, name in parts)
    return [f"    roofline of {r.gpu}, {what}: {_time(r.time)}, limited by {r.limiter} ({times})"]


def _machine(loop: Mix | None, overlap: Overlap | None) -> list[str]:
    if loop is None:
        return []
    mixed = ", ".join(f"{n} {name}" for name, n in loop.classes.items())
    lines = [f"    main loop: {loop.instructions} instructions ({mixed})"]
    if said := rates(loop):
        lines.append(f"    main loop: {said}")
    if overlap is not None:
        lines.append(
            f"    main loop: {overlap.fraction:.2f} of the other instructions while the tensor pipe works, "
            f"{overlap.drains} waits drain it"
        )
    return lines


_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def _short(n: float) -> str:
    """Three digits: 1.34 G."""
    for unit, letter in _PREFIXES:
        if n >= unit:
            return f"{n / unit:.3g} {letter}"
    return f"{n:.0f}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"
