"""CUDA text -> cubin with NVRTC. No driver and no GPU is needed."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from tiledsl.cache import store
from tiledsl.errors import NOWHERE, Span, error


@dataclass(frozen=True, slots=True)
class Resources:
    """What ptxas reports for one entry: registers a thread, bytes of stack, spill stores and loads, static shared."""

    name: str
    registers: int
    stack_bytes: int
    spill_store_bytes: int
    spill_load_bytes: int


@dataclass(frozen=True, slots=True)
class Compiled:
    cubin: bytes
    ptx: str
    resources: tuple[Resources, ...]
    log: str
    seconds: float  # 0 if it came from the cache

    @property
    def remarks(self) -> tuple[str, ...]:
        """What ptxas found worth saying: products that it serialises, waits that it adds, register counts it ignores.

        They cost speed, not correctness. Each begins with ptxas's number for it, as (C7510).
        """
        return tuple(_REMARK.findall(self.log))


@cache
def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc  # 100 ms, and absent on some platforms: only when a cubin is asked for
    except ImportError:
        raise error("TD0902") from None
    return nvrtc


@cache
def version() -> str:
    """NVRTC's version, as in "13.5"."""
    nvrtc = _nvrtc()
    try:
        _, major, minor = nvrtc.nvrtcVersion()
    except Exception as failure:  # pathfinder's own class when the shared library is missing
        raise error("TD0902") from failure
    return f"{major}.{minor}"


def options_for(arch: str, extra: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The whole command line; part of the cache key."""
    return (f"--gpu-architecture={arch}", "-std=c++17", "-minimal", "--ptxas-options=-v", *extra)


def compile_cuda(text: str, arch: str, extra: tuple[str, ...] = ()) -> Compiled:
    """Compile for `arch` (sm_80, sm_90a, ...). Raises TileError TD0903 at the user's line if NVRTC rejects the text."""
    options = options_for(arch, extra)
    key = store.key_of(text, *options, version())
    found = _stored(key)
    if found is None:
        found = _compile(text, options)
        _store(key, text, options, found)
    return found


def _stored(key: str) -> Compiled | None:
    found = store.read("cubin", key)
    if found is None:
        return None
    about = json.loads(found["about.json"])
    resources = tuple(Resources(**r) for r in about["resources"])
    return Compiled(found["kernel.cubin"], found["kernel.ptx"].decode(), resources, about["log"], 0.0)


def _store(key: str, text: str, options: tuple[str, ...], made: Compiled) -> None:
    about = {"resources": [asdict(r) for r in made.resources], "log": made.log, "options": options}
    files = {"kernel.cu": text.encode(), "kernel.cubin": made.cubin, "kernel.ptx": made.ptx.encode()}
    names = f"{', '.join(r.name for r in made.resources)} for {options[0].rpartition('=')[2]}"
    store.write("cubin", key, {**files, "about.json": json.dumps(about, indent=1).encode()}, names)


def _compile(text: str, options: tuple[str, ...]) -> Compiled:
    nvrtc = _nvrtc()
    start = time.perf_counter()
    _, program = nvrtc.nvrtcCreateProgram(text.encode(), b"kernel.cu", 0, [], [])
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
        log = _fetch(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog).decode().rstrip("\0 \n")
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise error("TD0903", _place(log), log=log[:4000])
        cubin = _fetch(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
        ptx = _fetch(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX).decode().rstrip("\0")
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return Compiled(cubin, ptx, parse_resources(log), log, time.perf_counter() - start)


def _fetch(program: Any, size_of: Any, get: Any) -> bytes:
    _, size = size_of(program)
    data = b" " * int(size)
    get(program, data)
    return data


def _place(log: str) -> Span:
    """The user's line of the first error; `#line` made the compiler name it."""
    found = re.search(r"^(.+?)\((\d+)\): (?:catastrophic )?error", log, re.MULTILINE)
    return Span(found[1], int(found[2]), 0, int(found[2]), 0) if found else NOWHERE


_REMARK = re.compile(r"^ptxas +(?:info|warning) *: *(\(C\d+\) .*?)\s*$", re.MULTILINE)
_ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def parse_resources(log: str) -> tuple[Resources, ...]:
    """The entries of a `--ptxas-options=-v` log, in its order."""
    return tuple(
        Resources(m["name"], int(m["registers"]), int(m["stack"]), int(m["stores"]), int(m["loads"]))
        for m in _ENTRY.finditer(log)
    )
