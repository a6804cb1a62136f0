"""The report of a compiled kernel, as data and as text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from tiledsl.compile import Lowered
from tiledsl.report.sass_code import find_nvdisasm
from tiledsl.report.sass_stats import KernelStats, Mix, analyze
from tiledsl.report.shared_accesses import GlobalAccess, SharedAccess, global_accesses, shared_accesses
from tiledsl.target import Target


@dataclass(frozen=True)
class EntryReport:
    """One `__global__` function. `blocks_per_sm` is what registers, shared memory and threads allow together."""

    name: str
    threads: int
    registers: int
    spill_bytes: int
    stack_bytes: int
    shared_bytes: int
    blocks_per_sm: int
    limiter: str
    accesses: tuple[SharedAccess, ...]
    global_accesses: tuple[GlobalAccess, ...]
    main_loop: Mix | None
    total: Mix | None

    @property
    def conflicts(self) -> int:
        """Shared wavefronts above the least possible, summed over the accesses (each counted once)."""
        return sum(a.wavefronts - a.ideal for a in self.accesses)


@dataclass(frozen=True)
class Report:
    kernel: str
    target: str
    entries: tuple[EntryReport, ...]
    note: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        parts = [f"{self.kernel} for {self.target}"]
        for e in self.entries:
            parts += _entry_lines(e)
        return "\n".join([*parts, self.note] if self.note else parts)


def report(lowered: Lowered) -> Report:
    """Compile to a cubin if that has not happened, and gather what is known about it.

    Raises TileError TD0902 where NVRTC is missing. Without nvdisasm the machine-code part is left out, and said so.
    """
    resources = {r.name: r for r in lowered.compiled.resources}
    stats: dict[str, KernelStats] = {}
    note = ""
    if find_nvdisasm() is None:
        note = "machine code: not looked at, nvdisasm is missing (pip install 'tiledsl[sass]')"
    else:
        stats = analyze(lowered.compiled.cubin)
    entries = []
    for e in lowered.source.entries:
        r = resources[e.name]
        blocks, limiter = occupancy(lowered.target, e.threads, r.registers, e.shared_bytes)
        found = stats.get(e.name)
        launch = lowered.final.launches[e.launch]
        accesses, outside = shared_accesses(launch), global_accesses(launch)
        spilled = r.spill_store_bytes + r.spill_load_bytes
        entries.append(
            EntryReport(
                *(
                    e.name,
                    e.threads,
                    r.registers,
                    spilled,
                    r.stack_bytes,
                    e.shared_bytes,
                    blocks,
                    limiter,
                    accesses,
                    outside,
                ),
                main_loop=found.main_loop if found else None,
                total=found.total if found else None,
            )
        )
    return Report(lowered.final.name, lowered.target.name, tuple(entries), note)


# Granularities of allocation: CUDA Occupancy Calculator, compute capability 8.0 to 12.0.
_REGISTER_UNIT = 256  # registers a warp are rounded up to this
_SHARED_UNIT = 128
_SHARED_RESERVED = 1024  # bytes of each block that the system keeps


def occupancy(target: Target, threads: int, registers: int, shared_bytes: int) -> tuple[int, str]:
    """Blocks that fit one SM, and what limits their number."""
    warps = -(-threads // 32)
    per_warp = -(-max(registers, 1) * 32 // _REGISTER_UNIT) * _REGISTER_UNIT
    shared = -(-(shared_bytes + _SHARED_RESERVED) // _SHARED_UNIT) * _SHARED_UNIT
    limits = {
        "registers": target.registers_per_sm // per_warp // warps,
        "shared memory": target.shared_per_sm // shared,
        "warps": target.warps_per_sm // warps,
        "blocks": target.blocks_per_sm,
    }
    limiter = min(limits, key=lambda name: limits[name])
    return limits[limiter], limiter


def _entry_lines(e: EntryReport) -> list[str]:
    spills = "no spills" if not e.spill_bytes else f"{e.spill_bytes} bytes spilled"
    lines = [
        f"  {e.name}: {e.threads} threads, {e.registers} registers, {spills}, {e.shared_bytes} bytes of shared memory, "
        f"{e.blocks_per_sm} blocks per SM (limited by {e.limiter})"
    ]
    lines += _table(
        "shared memory", "wavefronts", [(a.what, a.buffer, a.place, a.wavefronts, a.ideal) for a in e.accesses]
    )
    outside = [(a.what, a.buffer, a.place, a.sectors, a.ideal) for a in e.global_accesses]
    lines += _table("global memory", "sectors", outside)
    if e.main_loop is not None:
        m = e.main_loop
        mixed = ", ".join(f"{n} {name}" for name, n in m.classes.items())
        lines.append(f"    main loop: {m.instructions} instructions ({mixed})")
        if m.tensor:
            lines.append(
                f"    main loop: {m.integer_per_tensor:.2f} integer instructions per tensor instruction, "
                f"{m.issue_per_tensor_cycle:.2f} issue slots per tensor cycle"
            )
    return lines


def _table(title: str, unit: str, accesses: list[tuple[str, str, str, int, int]]) -> list[str]:
    """One row for the accesses of one kind, buffer and line of the source: how often it stands, its cost, the ideal."""
    groups: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for what, buffer, place, needed, least in accesses:
        groups.setdefault((what, buffer, _line(place)), []).append((needed, least))
    if not groups:
        return []
    rows = [(title, "of", "line", "times", unit, "ideal", "")]
    for (what, buffer, line), counts in groups.items():
        needed, least = (sum(column) for column in zip(*counts))
        verdict = f"{needed / least:.1f} times the ideal" if needed > least else ""
        rows.append((what, buffer, line, str(len(counts)), str(needed), str(least), verdict))
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["    " + "  ".join(cell.ljust(w) for cell, w in zip(r, widths)).rstrip() for r in rows]


def _line(place: str) -> str:
    """`file.py:12` of a span as text."""
    return place.rpartition("/")[2].rpartition(":")[0] or place
