"""What the report knows, as rows that link to source lines."""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.compile import Lowered
from tiledsl.errors import TileError
from tiledsl.report import report
from tiledsl.report.accesses import UNITS, Access
from tiledsl.report.report import EntryReport
from tiledsl.report.sass_stats import Mix
from tiledsl.report.text import grid, rates, spills
from tiledsl.viewer.places import Places


@dataclass(frozen=True)
class AccessRow:
    """An operation on one buffer in one line; `needed` transactions, `ideal` at best."""

    what: str
    space: str
    buffer: str
    place: str
    requests: int
    needed: int
    ideal: int
    unit: str
    exact: bool


@dataclass(frozen=True)
class MixRow:
    """Instructions of the machine code by class."""

    name: str
    instructions: int
    parts: tuple[tuple[str, int], ...]
    remark: str


@dataclass(frozen=True)
class EntryCosts:
    """One `__global__` function. `facts` are (name, value, remark); `bounds` seconds by part of the GPU, the longest
    first."""

    name: str
    facts: tuple[tuple[str, str, str], ...]
    bounds: tuple[tuple[str, float], ...]
    accesses: tuple[AccessRow, ...]
    mixes: tuple[MixRow, ...]


@dataclass(frozen=True)
class Costs:
    """`gpu` is what the times are bounds for; `note` says what is missing or assumed; `text` is the printed report."""

    gpu: str
    entries: tuple[EntryCosts, ...]
    text: str
    note: str


def costs_of(lowered: Lowered, places: Places) -> Costs:
    """The report of `lowered`; empty, with the reason, where it cannot be made."""
    try:
        found = report(lowered)
    except TileError as problem:
        return Costs("", (), "", f"no report: {problem.message}")
    return Costs(found.gpu, tuple(_entry(e, places) for e in found.entries), str(found), found.note)


def _entry(e: EntryReport, places: Places) -> EntryCosts:
    facts = (
        ("threads", str(e.threads), grid(e)),
        ("registers", str(e.registers), spills(e)),
        ("shared memory", str(e.shared_bytes), "bytes per block"),
        ("blocks per SM", str(e.blocks_per_sm), f"limited by {e.limiter}"),
        ("limiter", e.roofline.limiter, f"{e.roofline.intensity:.1f} operations a byte of DRAM"),
    )
    bounds = sorted(((name, t) for name, t in e.roofline.seconds.items() if t), key=lambda b: -b[1])
    named = (("main loop", e.main_loop), ("whole kernel", e.total))
    return EntryCosts(
        e.name,
        facts,
        tuple(bounds),
        tuple(_access(a, places) for a in e.accesses),
        tuple(_mix(name, m) for name, m in named if m is not None),
    )


def _access(a: Access, places: Places) -> AccessRow:
    place = places.at(a.file, a.line)
    return AccessRow(a.op, a.space, a.buffer, place, a.requests, a.transactions, a.ideal, UNITS[a.space], a.exact)


def _mix(name: str, m: Mix) -> MixRow:
    return MixRow(name, m.instructions, tuple(m.classes.items()), rates(m))
