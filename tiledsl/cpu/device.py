"""The CPU device: runs emitted CUDA C++, unchanged, compiled by the host's C++ compiler.

The kernel text calls the device API, which `native/device.h` defines for the CPU; `native/*.cpp` is the runtime, with
one fiber for each CUDA thread. With `checked` every access to memory is looked at: bounds, alignment, bytes never
written, bytes that an asynchronous copy has not been waited for.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tiledsl.cpu.toolchain import kernel_library, runtime_library
from tiledsl.errors import NOWHERE, Span, TileError, error

Argument = Any  # an array, a NumPy scalar, or a ctypes value
MAX_THREADS = 1024
MODES = {"early": 0, "late": 1, "random": 2}


class _Buffer(ctypes.Structure):
    _fields_ = (("begin", ctypes.c_void_p), ("size", ctypes.c_uint64), ("name", ctypes.c_char_p))


class _Launch(ctypes.Structure):
    _fields_ = (
        ("entry", ctypes.c_void_p),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("grid", ctypes.c_uint32 * 3),
        ("threads", ctypes.c_uint32),
        ("shared_bytes", ctypes.c_uint32),
        ("mode", ctypes.c_int),
        ("seed", ctypes.c_uint64),
        ("workers", ctypes.c_int),
        ("num_buffers", ctypes.c_int),
        ("buffers", ctypes.POINTER(_Buffer)),
    )


@dataclass(frozen=True)
class Module:
    """Compiled kernels. `parameters` names the arguments of each entry, for messages."""

    library: ctypes.CDLL
    runtime: ctypes.CDLL
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def launch(
        self,
        name: str,
        grid: Sequence[int],
        threads: int,
        shared_bytes: int,
        arguments: Sequence[Argument],
        *,
        mode: str = "early",
        seed: int = 0,
        workers: int | None = None,
    ) -> None:
        """Run one entry on arrays in place; scalars are NumPy scalars or ctypes values of the parameter's type.

        `mode` says when data of asynchronous copies arrives: at the copy (early), at its wait (late), or either,
        by `seed` (random). Results do not depend on `workers`, the number of OS threads (None: one per processor).
        Raises TileError TD08xx, at the user's line, for the first block in which something is wrong, and ValueError for
        a number of threads that no GPU has.
        """
        if not 1 <= threads <= MAX_THREADS:
            raise ValueError(f"a block has 1 to {MAX_THREADS} threads, not {threads}")
        names = self.parameters.get(name, ())
        values = [_as_ctypes(a) for a in arguments]
        pointers = (ctypes.c_void_p * max(1, len(values)))(*[ctypes.addressof(v) for v in values])
        buffers = [
            _Buffer(a.ctypes.data, _reach(a), (names[i] if i < len(names) else f"argument {i}").encode())
            for i, a in enumerate(arguments)
            if isinstance(a, np.ndarray)
        ]
        extents = (*grid, 1, 1, 1)[:3]
        given = _Launch(
            entry=ctypes.cast(getattr(self.library, f"tds_entry_{name}"), ctypes.c_void_p),
            arguments=pointers,
            grid=(ctypes.c_uint32 * 3)(*extents),
            threads=threads,
            shared_bytes=shared_bytes,
            mode=MODES[mode],
            seed=seed,
            workers=workers or 0,
            num_buffers=len(buffers),
            buffers=(_Buffer * max(1, len(buffers)))(*buffers),
        )
        length = ctypes.c_uint64()
        result = self.runtime.tds_launch(ctypes.byref(given), ctypes.byref(length))
        try:
            raw = ctypes.string_at(result, length.value)
        finally:
            self.runtime.tds_free(result)
        report, _, output = raw.partition(b"\0")
        if output:
            sys.stdout.write(output.decode(errors="replace"))
        _raise_if_wrong(report.decode(errors="replace"))


def compile_source(text: str, entry_names: Sequence[str], *, checked: bool = False) -> Module:
    """Compile a kernel text (`codegen.Source.text`) with the kernels `entry_names`; what was compiled before is reused.

    Raises TileError TD0911 where there is no compiler, TD0912 if it rejects the text.
    """
    library = _load(kernel_library(text, checked))
    for name in entry_names:
        getattr(library, f"tds_entry_{name}")  # a wrong name is found here, not at the launch
    return Module(library, _runtime(checked), _parameters(text))


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


def _parameters(text: str) -> dict[str, tuple[str, ...]]:
    """The names of each kernel's parameters: the last word of each declaration."""
    return {
        m[1]: tuple(p.split()[-1].lstrip("*") for p in m[2].split(",") if p.strip()) for m in _KERNEL.finditer(text)
    }


def _reach(array: np.ndarray[Any, Any]) -> int:
    """Bytes from the first element of `array` to the end of its last, gaps included."""
    steps = zip(array.shape, array.strides)
    return array.itemsize + sum((n - 1) * stride for n, stride in steps) if array.size else 0


def _as_ctypes(value: Argument) -> Any:
    """`value` as an object whose memory holds what the kernel's parameter is."""
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    if isinstance(value, np.generic):
        return ctypes.create_string_buffer(value.tobytes(), value.itemsize)
    return value


def _raise_if_wrong(report: str) -> None:
    code, file, line, facts = report.split("\n", 3)
    if code == "0":
        return
    pairs = dict(item.split("\x1f", 1) for item in facts.split("\x1e") if item)
    span = Span(file, int(line), 0, int(line), 0) if file else NOWHERE
    raise _as_error(f"TD{int(code):04d}", span, dict[str, object](pairs))


def _as_error(code: str, span: Span, facts: dict[str, object]) -> TileError:
    """The catalogue's error for a report of the runtime, which knows bytes where the IR knows elements."""
    if code in ("TD0803", "TD0805"):
        facts |= {"buffer": "shared memory", "place": f" at byte {facts['offset']}"}
    if code == "TD0809":
        facts["message"] = facts["message"] or "condition is false"
    return error(code, span, (), **facts)
