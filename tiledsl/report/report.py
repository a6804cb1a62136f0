"""The report of a compiled kernel, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod

from tiledsl.analysis.footprint import Unknown
from tiledsl.compile import Lowered
from tiledsl.errors import error
from tiledsl.ir.nodes import Buffer, Expr, Kernel, Launch, Var
from tiledsl.report.accesses import Access, accesses, merged
from tiledsl.report.domain import Domain
from tiledsl.report.roofline import Roofline, Traffic, issued, roofline, traffic
from tiledsl.report.sass_code import find_nvdisasm
from tiledsl.report.sass_stats import KernelStats, Mix, Overlap, analyze
from tiledsl.report.text import text
from tiledsl.report.work import Work, work
from tiledsl.target import Gpu, Target, gpu_named


@dataclass(frozen=True)
class EntryReport:
    """One `__global__` function. `blocks_per_sm` is what registers, shared memory and threads allow together.

    `blocks` is the number of blocks of the grid, None if it depends on sizes that were not given; accesses, work and
    traffic are then those of one block, in which loops of unknown length count as one iteration.
    """

    name: str
    threads: int
    registers: int
    spill_bytes: int
    stack_bytes: int
    shared_bytes: int
    blocks_per_sm: int
    limiter: str
    blocks: int | None
    accesses: tuple[Access, ...]
    work: Work
    traffic: Traffic
    roofline: Roofline
    main_loop: Mix | None
    total: Mix | None
    overlap: Overlap | None

    @property
    def conflicts(self) -> int:
        """Shared wavefronts above the least possible, over all accesses."""
        return sum(a.transactions - a.ideal for a in self.accesses if a.space == "shared")

    @property
    def exact(self) -> bool:
        """Whether no figure depends on data, or on sizes that were not given."""
        return self.work.exact and all(a.exact for a in self.accesses)


@dataclass(frozen=True)
class Report:
    kernel: str
    target: str
    gpu: str
    sizes: dict[str, int]
    entries: tuple[EntryReport, ...]
    note: str = ""

    @property
    def time(self) -> float:
        """Seconds of the roofline, all launches one after the other."""
        return sum(e.roofline.time for e in self.entries)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        return text(self)


def report(lowered: Lowered, sizes: Mapping[str, int] | None = None, gpu: str | None = None) -> Report:
    """Compile to a cubin if that has not happened, and gather what is known about it.

    `sizes` gives dynamic extents and scalar parameters by name; `gpu` is a row of `target.GPUS` for the same target.
    Raises TileError TD0902 where NVRTC is missing, TD0635 for a name that the kernel does not have, TD0914 for an
    unknown GPU. Without nvdisasm the machine-code part is left out, and said so.
    """
    product = gpu_named(gpu, lowered.target)
    kernel = lowered.final
    numbers = _numbers(kernel, sizes or {})
    stats: dict[str, KernelStats] = {}
    notes = []
    if find_nvdisasm() is None:
        notes.append("machine code: not looked at, nvdisasm is missing (pip install 'tiledsl[sass]')")
    else:
        stats = analyze(lowered.compiled.cubin)
    entries = tuple(_entry(lowered, n, numbers, product, stats) for n in range(len(lowered.source.entries)))
    missing = sorted(v.name for v in _parameters(kernel) if v not in numbers and v in kernel.sizes)
    if missing:
        shown = ", ".join(f"{name}=..." for name in missing)
        notes.append(f"figures of one block: the sizes are not known, give them as report({shown})")
    elif not all(e.exact for e in entries):
        notes.append("~: depends on data; conditions count as true, loops of unknown length as one iteration")
    notes += [f"{launch.name}: {note}" for launch in kernel.launches for note in launch.notes]
    own = [e.name for e in lowered.source.entries if lowered.final.launches[e.launch].entry]
    notes += [
        f"{name}: CUDA text of the user's own, of which registers and memory per block alone are known" for name in own
    ]
    notes += [f"ptxas: {remark}" for remark in lowered.compiled.remarks]
    return Report(kernel.name, lowered.target.name, product.name, dict(sizes or {}), entries, "\n".join(notes))


def _entry(
    lowered: Lowered, number: int, numbers: Mapping[Var, int], gpu: Gpu, stats: Mapping[str, KernelStats]
) -> EntryReport:
    e = lowered.source.entries[number]
    launch = lowered.final.launches[e.launch]
    r = {r.name: r for r in lowered.compiled.resources}[e.name]
    resident, limiter = occupancy(lowered.target, e.threads, r.registers, e.shared_bytes)
    found = merged(accesses(launch, numbers))
    done, moved = work(launch, numbers), traffic(found, _bytes(lowered.final, launch, numbers))
    blocks = _blocks(launch, numbers)
    machine = stats.get(e.name)
    instructions = issued(machine, done, found, -(-e.threads // 32) * (1 if blocks is None else blocks))
    return EntryReport(
        name=e.name,
        threads=e.threads,
        registers=r.registers,
        spill_bytes=r.spill_store_bytes + r.spill_load_bytes,
        stack_bytes=r.stack_bytes,
        shared_bytes=e.shared_bytes,
        blocks_per_sm=resident,
        limiter=limiter,
        blocks=blocks,
        accesses=found,
        work=done,
        traffic=moved,
        roofline=roofline(gpu, done, found, moved, instructions, blocks, resident),
        main_loop=machine.main_loop if machine else None,
        total=machine.total if machine else None,
        overlap=machine.overlap if machine else None,
    )


# ---- sizes


def _parameters(kernel: Kernel) -> list[Var]:
    return [*(p for p in kernel.params if isinstance(p, Var)), *kernel.sizes]


def _numbers(kernel: Kernel, sizes: Mapping[str, int]) -> dict[Var, int]:
    known = {v.name: v for v in _parameters(kernel)}
    for name in sizes:
        if name not in known:
            raise error("TD0635", kernel=kernel.name, name=name, known=", ".join(known) or "none")
    return {known[name]: value for name, value in sizes.items()}


def _value(launch: Launch, numbers: Mapping[Var, int], e: int | Expr) -> int | None:
    try:
        return e if isinstance(e, int) else int(Domain(1, launch.thread, dict(numbers)).value(e))
    except Unknown:
        return None


def _blocks(launch: Launch, numbers: Mapping[Var, int]) -> int | None:
    extents = [_value(launch, numbers, e) for e in launch.grid]
    return None if None in extents else prod(e for e in extents if e is not None)


def _bytes(kernel: Kernel, launch: Launch, numbers: Mapping[Var, int]) -> dict[str, int]:
    """Bytes of each tensor whose shape is known."""
    result = {}
    for b in (*(p for p in kernel.params if isinstance(p, Buffer)), *kernel.scratch):
        extents = [_value(launch, numbers, e) for e in b.shape]
        if None not in extents:
            result[b.name] = -(-prod(e for e in extents if e is not None) * b.dtype.bits // 8)
    return result


# ---- occupancy

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
