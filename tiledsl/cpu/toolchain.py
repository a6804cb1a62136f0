"""The host C++ compiler: which one, how it is called, and where its products are kept.

Shared libraries live in the cache directory under the hash of everything that the compiler was given.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from tiledsl.cache.store import folder
from tiledsl.cpu.native_atoms import declarations, table, wgmma_functions, wgmma_table
from tiledsl.errors import error
from tiledsl.settings import setting

# -fwrapv: integers wrap as on the GPU. -ffp-contract=off: a * b + c rounds twice, as the program says.
_COMMON = (
    *("-std=c++17", "-march=native", "-fPIC", "-w", "-fno-rtti", "-fno-exceptions"),
    *("-fno-strict-aliasing", "-fwrapv", "-fno-math-errno", "-ffp-contract=off"),
)
KERNEL_FLAGS = ("-O1", *_COMMON)
# The checked build tells places of the code apart by their addresses, so the compiler must not copy or merge calls.
_CHECKED_KERNEL_FLAGS = ("-fno-thread-jumps", "-fno-crossjumping", "-fno-tree-dominator-opts")
RUNTIME_FLAGS = ("-O2", "-ftree-vectorize", *_COMMON, "-ftls-model=initial-exec", "-pthread")
_EXPORTS = re.compile(r"^TDS_EXPORT\((\w+)\)", re.MULTILINE)
_CORE = ("fibers", "scheduler", "barriers", "collectives", "memory", "launch", "findings", "rounded")
_DETECTOR = ("clocks", "detector", "synchronisation", "global_shadow")
_HOPPER = ("hopper", "mbarrier", "bulk", "tensor_map", "wgmma", "cluster")
_OBSERVER = ("observer", "counters", "record")
_RUNTIME_SOURCES = tuple(f"{name}.cpp" for name in (*_CORE, *_DETECTOR, *_HOPPER, *_OBSERVER))


@cache
def find_compiler() -> tuple[str, ...] | None:
    """The command of a C++ compiler: $TILEDSL_CXX, c++, g++, clang++, or zig's from PyPI. None if there is none."""
    named = setting("TILEDSL_CXX")
    if named:
        return tuple(named.split())
    for name in ("c++", "g++", "clang++"):
        found = shutil.which(name)
        if found:
            return (found,)
    # zig traps on undefined behaviour by default, which shifts and conversions of the GPU are in C++.
    return (sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=undefined") if find_spec("ziglang") else None


def compiler_name() -> str | None:
    """What messages call it: the command of $TILEDSL_CXX, the name that was found, or ziglang."""
    found = find_compiler()
    if found is None or setting("TILEDSL_CXX"):
        return " ".join(found) if found else None
    return "ziglang" if "ziglang" in found else Path(found[0]).name


@cache
def identity(compiler: tuple[str, ...]) -> str:
    """What distinguishes the output of this compiler on this machine: its version and the processor's features."""
    try:
        version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError as failure:
        raise error("TD0910", command=" ".join(compiler)) from failure
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((x for x in lines if x.lower().startswith(("flags", "features"))), "")
    except OSError:
        features = ""
    return "\n".join([*compiler, version, platform.machine(), features])


@cache
def _native_sources() -> dict[str, str]:
    """The C++ files of the CPU device by name, those generated from the instruction rows among them."""
    native = resources.files("tiledsl.cpu") / "native"
    files = {f.name: f.read_text() for f in native.iterdir() if f.name.endswith((".h", ".cpp"))}
    files["portable.cuh"] = (resources.files("tiledsl.isa") / "portable.cuh").read_text()
    return {**files, "atoms.h": declarations(), "atoms.inc": table(), "wgmma.inc": wgmma_table()}


def require_compiler() -> tuple[str, ...]:
    """Raises TileError TD0911 where there is no compiler."""
    compiler = find_compiler()
    if compiler is None:
        raise error("TD0911")
    return compiler


def runtime_library(checked: bool) -> Path:
    """The runtime, built once per machine. Its directory holds the headers that kernels are compiled with."""
    compiler = require_compiler()
    sources = _native_sources()
    flags = (*RUNTIME_FLAGS, f"-DTDS_CHECKED={int(checked)}")

    def build(place: Path) -> None:
        for name, text in sources.items():
            (place / name).write_text(text)
        what, objects = "the runtime of the CPU device", [str(place / f"{s}.o") for s in _RUNTIME_SOURCES]
        commands = [
            [*compiler, *flags, "-c", "-o", o, str(place / s)] for s, o in zip(_RUNTIME_SOURCES, objects, strict=True)
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda command: run_compiler(command, what), commands))
        run_compiler([*compiler, *flags, "-shared", "-o", str(place / "runtime.so"), *objects], what)
        for o in objects:
            Path(o).unlink()

    parts = [identity(compiler), *flags, *(f"{n}\n{t}" for n, t in sorted(sources.items()))]
    about = f"{'checked' if checked else 'plain'}, by {compiler[0]}"
    return folder("cpu-runtime", parts, build, about) / "runtime.so"


def kernel_library(text: str, checked: bool) -> Path:
    """The shared library of a kernel text, linked against the runtime."""
    compiler, runtime = require_compiler(), runtime_library(checked)
    places = _CHECKED_KERNEL_FLAGS if checked else ()
    flags = (*KERNEL_FLAGS, *places, f"-DTDS_CHECKED={int(checked)}", f"-I{runtime.parent}")

    def build(place: Path) -> None:
        source = place / "kernel.cpp"
        source.write_text(f'#include "device.h"\n{wgmma_functions(text)}\n{text}')
        command = [*compiler, *flags, "-shared", "-o", str(place / "kernel.so"), str(source), str(runtime)]
        run_compiler(command, "the emitted C++")

    names = ", ".join(_EXPORTS.findall(text)) or "no kernel"
    about = f"{names}{', checked' if checked else ''}"
    return folder("cpu-kernel", [identity(compiler), *flags, text], build, about) / "kernel.so"


def run_compiler(command: Sequence[str], what: str) -> None:
    """Run the compiler. Raises TileError TD0912 with the compiler's log if it rejects the text."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as failure:
        raise error("TD0910", command=command[0]) from failure
    if done.returncode:
        raise error("TD0912", what=what, compiler=command[0], log=done.stderr[:4000])
