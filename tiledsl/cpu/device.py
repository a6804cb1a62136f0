"""The CPU device: runs emitted CUDA C++, unchanged, compiled by the host's C++ compiler.

The kernel text calls the device API, which `native/device.h` defines for the CPU; `native/*.cpp` is the runtime, with
one fiber for each CUDA thread. With `checked` every access to memory is looked at: bounds, alignment, bytes never
written, and whether what conflicts is ordered (`native/detector.h`).
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tiledsl.cpu.findings import Finding, from_report
from tiledsl.cpu.observe import Observation
from tiledsl.cpu.toolchain import kernel_library, runtime_library
from tiledsl.errors import error
from tiledsl.tensor_map import TensorMap, packed

Argument = Any  # an array, a NumPy scalar, or a ctypes value
Tile = tuple[str, int, int, int, int]  # of shared memory: name, offset, bytes, bytes of a version and of an element
MAX_THREADS = 1024
MAX_CLUSTER = 16
MAX_GROUP_THREADS = 28 * 1024  # runtime.h
MODES = {"early": 0, "late": 1, "random": 2}
SCHEDULES = {"fifo": 0, "reverse": 1, "random": 2}
_EXTRA_AGENTS = 72  # runtime.h


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("begin", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("written", ctypes.c_int),
    )


class _Tile(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("offset", ctypes.c_uint32),
        ("bytes", ctypes.c_uint32),
        ("stage_bytes", ctypes.c_uint32),
        ("element_bytes", ctypes.c_uint32),
    )


class _Launch(ctypes.Structure):
    _fields_ = (
        ("entry", ctypes.c_void_p),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("grid", ctypes.c_uint32 * 3),
        ("cluster", ctypes.c_uint32 * 3),
        ("threads", ctypes.c_uint32),
        ("shared_bytes", ctypes.c_uint32),
        ("extra_agents", ctypes.c_uint32),
        ("cooperative", ctypes.c_int),
        ("keep_going", ctypes.c_int),
        ("compare_groups", ctypes.c_int),
        ("mode", ctypes.c_int),
        ("schedule", ctypes.c_int),
        ("seed", ctypes.c_uint64),
        ("workers", ctypes.c_int),
        ("num_buffers", ctypes.c_int),
        ("buffers", ctypes.POINTER(_Buffer)),
        ("num_tiles", ctypes.c_int),
        ("tiles", ctypes.POINTER(_Tile)),
        ("count", ctypes.c_int),
        ("record_block", ctypes.c_int64),
        ("record_latency", ctypes.c_uint32),
    )


@dataclass(frozen=True)
class Mapped:
    """An argument for a parameter that is a tensor map: the map, and the tensor in memory."""

    map: TensorMap
    array: np.ndarray[Any, Any]


@dataclass(frozen=True)
class KernelFacts:
    """What the text of one kernel says: its parameters in order, those that it may write to, and what it uses."""

    parameters: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()
    fences: bool = False
    polls: bool = False
    asynchronous_proxy: bool = False


@dataclass(frozen=True)
class Module:
    """Compiled kernels, and what the text says of each."""

    library: ctypes.CDLL
    runtime: ctypes.CDLL
    facts: Mapping[str, KernelFacts] = field(default_factory=dict)

    def launch(
        self,
        name: str,
        grid: Sequence[int],
        threads: int,
        shared_bytes: int,
        arguments: Sequence[Argument],
        *,
        mode: str = "early",
        schedule: str | None = None,
        seed: int = 0,
        workers: int | None = None,
        shared: Sequence[Tile] = (),
        cluster: Sequence[int] = (1, 1, 1),
        cooperative: bool | None = None,
        findings: list[Finding] | None = None,
        statistics: dict[str, int] | None = None,
        observe: Observation | None = None,
    ) -> None:
        """Run one entry on arrays in place; scalars are NumPy scalars or ctypes values of the parameter's type.

        `mode` says when data of asynchronous copies arrives: at the copy (early), at its wait (late), or either,
        by `seed` (random). `schedule` says which thread runs next: fifo, reverse, random (by `seed`); None: random in
        the mode random, else fifo. Unless blocks race, neither results nor findings depend on `workers`, the number of
        OS threads (None: one per processor). `shared` names the tiles of shared memory in reports.

        Blocks of one `cluster` run together, as do all blocks of a `cooperative` launch (None: if the kernel's text has
        fences and the grid is small enough, or if it polls); other blocks run in any order, one after another.

        Of what is wrong in the first block in which something is, what made going on impossible is raised as TileError
        TD08xx at the user's line, else the first; with a list of `findings` everything is added to it instead, and
        every block runs.
        Raises TileError TD0833 for blocks that have to run together and do not fit, ValueError for a number of threads
        or a cluster that no GPU has. `statistics` gets counts of the runtime's own work, `observe` what it asks for, in
        modules that are checked.
        """
        extents, clusters = _extents(grid, cluster, threads)
        kernel = self.facts.get(name, KernelFacts())
        values = [_as_ctypes(a) for a in arguments]
        given = _Launch(
            entry=ctypes.cast(getattr(self.library, f"tds_entry_{name}"), ctypes.c_void_p),
            arguments=(ctypes.c_void_p * max(1, len(values)))(*map(ctypes.addressof, values)),
            grid=(ctypes.c_uint32 * 3)(*extents),
            cluster=(ctypes.c_uint32 * 3)(*clusters),
            threads=threads,
            shared_bytes=shared_bytes,
            extra_agents=_EXTRA_AGENTS if kernel.asynchronous_proxy else 0,
            cooperative=_run_together(kernel, prod(extents) * threads, cooperative),
            keep_going=findings is not None,
            compare_groups=not kernel.fences,
            mode=MODES[mode],
            schedule=SCHEDULES[schedule or ("random" if mode == "random" else "fifo")],
            seed=seed,
            workers=workers or 0,
            **_memory(kernel, arguments, shared),
            **_watched(observe, extents),
        )
        report = self._run(name, given, observe)
        (statistics if statistics is not None else {}).update({key: report[key] for key in ("clock_work", "switches")})
        _conclude(report["findings"], findings)

    def _run(self, name: str, given: _Launch, observe: Observation | None) -> dict[str, Any]:
        """The runtime's report; what the kernel printed has been written to stdout."""
        length = ctypes.c_uint64()
        result = self.runtime.tds_launch(ctypes.byref(given), ctypes.byref(length))
        if not result:
            raise error("TD0833", threads=given.threads * prod(given.grid), limit=MAX_GROUP_THREADS)
        try:
            raw = ctypes.string_at(result, length.value)
        finally:
            self.runtime.tds_free(result)
        report, table, events, output = raw.split(b"\0", 3)
        if observe is not None:
            observe.saw(name, given.threads, table.decode(), events.decode())
        if output:
            sys.stdout.write(output.decode(errors="replace"))
        parsed: dict[str, Any] = json.loads(report.decode(errors="replace"))
        return parsed


def _conclude(found: list[dict[str, Any]], findings: list[Finding] | None) -> None:
    """Adds what was found to `findings`; without a list raises what ended a group, else the first."""
    if findings is not None:
        findings += map(from_report, found)
    elif found:
        raise from_report(next((raw for raw in found if raw["fatal"]), found[0])).error()


def _extents(grid: Sequence[int], cluster: Sequence[int], threads: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Grid and cluster with three extents. Raises ValueError for what no GPU has."""
    if not 1 <= threads <= MAX_THREADS:
        raise ValueError(f"a block has 1 to {MAX_THREADS} threads, not {threads}")
    extents, clusters = (*grid, 1, 1, 1)[:3], (*cluster, 1, 1, 1)[:3]
    if prod(clusters) > MAX_CLUSTER or any(n < 1 or g % n for g, n in zip(extents, clusters)):
        raise ValueError(f"a cluster has up to {MAX_CLUSTER} blocks and divides the grid; {clusters} is none")
    return extents, clusters


def _memory(kernel: KernelFacts, arguments: Sequence[Argument], shared: Sequence[Tile]) -> dict[str, Any]:
    """The fields of `_Launch` that say what lies where."""
    buffers = _buffers(kernel, arguments)
    tiles = [_Tile(n.encode(), *numbers) for n, *numbers in shared]
    return {
        **{"num_buffers": len(buffers), "buffers": (_Buffer * max(1, len(buffers)))(*buffers)},
        **{"num_tiles": len(tiles), "tiles": (_Tile * max(1, len(tiles)))(*tiles)},
    }


def _watched(observe: Observation | None, grid: tuple[int, ...]) -> dict[str, int]:
    """The fields of `_Launch` that say what is counted and recorded."""
    if observe is None:
        return {"count": 0, "record_block": -1, "record_latency": 0}
    return {
        **{"count": int(observe.count), "record_block": observe.number_of_block(grid)},
        "record_latency": observe.latency,
    }


def _run_together(kernel: KernelFacts, threads: int, asked: bool | None) -> bool:
    """Whether all blocks, of `threads` threads, are one group. Raises TileError TD0833 if they must but do not fit."""
    fits = threads <= MAX_GROUP_THREADS
    if (asked or (asked is None and kernel.polls)) and not fits:
        raise error("TD0833", threads=threads, limit=MAX_GROUP_THREADS)
    return asked if asked is not None else fits and (kernel.fences or kernel.polls)


def compile_source(text: str, entry_names: Sequence[str], *, checked: bool = False) -> Module:
    """Compile a kernel text (`codegen.Source.text`) with the kernels `entry_names`; what was compiled before is reused.

    Raises TileError TD0911 where there is no compiler, TD0912 if it rejects the text.
    """
    library = _load(kernel_library(text, checked))
    for name in entry_names:
        getattr(library, f"tds_entry_{name}")  # a wrong name is found here, not at the launch
    return Module(library, _runtime(checked), kernel_facts(text))


@cache
def _load(path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(path))


@cache
def _runtime(checked: bool) -> ctypes.CDLL:
    runtime = _load(runtime_library(checked))
    runtime.tds_launch.restype = ctypes.c_void_p
    runtime.tds_launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    runtime.tds_free.argtypes = (ctypes.c_void_p,)
    return runtime


_KERNEL = re.compile(r"^TDS_KERNEL\([^)]*\) (\w+)\(([^)]*)\)", re.MULTILINE)
_FENCES = re.compile(r"\btds::(fence|load_acquire|store_release)\b")
_POLLS = re.compile(r"\btds::(atomic_load|load_acquire)\b")
_ASYNCHRONOUS_PROXY = re.compile(r"\btds::\w*(mbarrier|wgmma|tma|bulk|proxy)")


def kernel_facts(text: str) -> dict[str, KernelFacts]:
    """What the text says of each of its kernels. Functions before the first kernel count for all."""
    starts = list(_KERNEL.finditer(text))
    common = text[: starts[0].start()] if starts else ""
    facts = {}
    for m, end in zip(starts, [*[n.start() for n in starts[1:]], len(text)]):
        declarations = [p for p in m[2].split(",") if p.strip()]
        names = tuple(p.split()[-1].lstrip("*&") for p in declarations)
        body = common + text[m.start() : end]
        written = frozenset(n for n, p in zip(names, declarations) if _may_write(p.strip(), n, body))
        uses = [bool(pattern.search(body)) for pattern in (_FENCES, _POLLS, _ASYNCHRONOUS_PROXY)]
        facts[m[1]] = KernelFacts(names, written, *uses)
    return facts


def _may_write(declaration: str, name: str, body: str) -> bool:
    """Whether the kernel may write to this parameter; through a tensor map only by the stores that name it."""
    if declaration.startswith("TDS_TENSOR_MAP "):
        return re.search(rf"\btma_(?:store|reduce_\w+)\({name}\b", body) is not None
    return not declaration.startswith("const ")


def _buffers(kernel: KernelFacts, arguments: Sequence[Argument]) -> list[_Buffer]:
    """The arrays among the arguments. What overlaps an array that is written counts as written."""
    names = [kernel.parameters[i] if i < len(kernel.parameters) else f"argument {i}" for i in range(len(arguments))]
    given = [(n, a.array if isinstance(a, Mapped) else a) for n, a in zip(names, arguments)]
    arrays = [(n, a.ctypes.data, _reach(a)) for n, a in given if isinstance(a, np.ndarray)]
    writes = [(at, at + size) for n, at, size in arrays if n in kernel.written or n not in kernel.parameters]
    shown = {n: a.map.name for n, a in zip(names, arguments) if isinstance(a, Mapped)}
    return [
        _Buffer(at, size, shown.get(n, n).encode(), any(begin < at + size and at < end for begin, end in writes))
        for n, at, size in arrays
    ]


def _reach(array: np.ndarray[Any, Any]) -> int:
    """Bytes from the first element of `array` to the end of its last, gaps included."""
    steps = zip(array.shape, array.strides)
    return array.itemsize + sum((n - 1) * stride for n, stride in steps) if array.size else 0


class _MapPointer(ctypes.Structure):
    """What the kernel's parameter holds: where the map is. The map lies behind it, at a multiple of 64 bytes."""

    _fields_ = (("map", ctypes.c_void_p),)

    def __init__(self, content: bytes) -> None:
        self._memory = ctypes.create_string_buffer(len(content) + 64)
        start = -(-ctypes.addressof(self._memory) // 64) * 64
        ctypes.memmove(start, content, len(content))
        super().__init__(start)


def _as_ctypes(value: Argument) -> Any:
    """`value` as an object whose memory holds what the kernel's parameter is."""
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    if isinstance(value, Mapped):
        return _MapPointer(packed(value.map, value.array.ctypes.data))
    if isinstance(value, np.generic):
        return ctypes.create_string_buffer(value.tobytes(), value.itemsize)
    return value
