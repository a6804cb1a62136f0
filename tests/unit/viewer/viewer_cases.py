"""Kernels to look at, lowered once: a pipelined product, one with shared memory used again, and one of two launches."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from tiledsl.compile import Lowered
from tiledsl.cpu.record import Event, Record
from tiledsl.viewer.model import Trace, trace_of

ROOT = Path(__file__).parents[3]
HEADS = {"batch": 1, "heads": 2}
KERNELS = {
    "gemm": ("gemm", "gemm", {"M": 128, "N": 128, "K": 256, "block": (64, 64, 32), "num_stages": 3}),
    "gemm_ragged": ("gemm", "gemm", {"M": 100, "N": 72, "K": 80, "block": (64, 64, 32), "num_stages": 2}),
    "attention": ("attention", "flash_attention", {"seq_q": 128, "seq_k": 128, "dim": 64, "causal": True} | HEADS),
    "roles": ("gemm", "gemm", {"M": 128, "N": 128, "K": 256, "block": (128, 64, 64), "num_stages": 3}),
    "overlapped": ("attention", "flash_attention", {"seq_q": 128, "seq_k": 512, "dim": 64, "causal": False} | HEADS),
    "decode": ("attention", "split_decode", {"kv_heads": 2, "seq_k": 64, "dim": 64} | HEADS),
}
HOPPER = ("roles", "overlapped")


def _examples() -> ModuleType:
    """tests/e2e/cases.py, which is in another folder."""
    sys.path.insert(0, str(ROOT / "tests" / "e2e"))
    try:
        return importlib.import_module("cases")
    finally:
        sys.path.pop(0)


def target_of(name: str) -> str:
    return "sm_90a" if name in HOPPER else "sm_80"


@cache
def lowered(name: str) -> Lowered:
    """For its target, whatever machine this is."""
    file, function, arguments = KERNELS[name]
    made = getattr(_examples().load(file), function)(**arguments)
    return made.compile(target=target_of(name)).lowered  # type: ignore[no-any-return]


def example_variants() -> list[tuple[str, str]]:
    """(example, target) of all programs that differ."""
    return _examples().variants()  # type: ignore[no-any-return]


def example(name: str, target: str) -> Lowered:
    return _examples().cases_by_name()[name].compiled(target).lowered  # type: ignore[no-any-return]


@cache
def trace(name: str) -> Trace:
    return trace_of(lowered(name))


def line_of(name: str, text: str) -> int:
    """The number of the first line of the example's source, as the page shows it, that has `text`."""
    (source,) = trace(name).sources
    return next(source.first + n for n, line in enumerate(source.lines) if text in line)


def hand_made(file: str, copied: int, multiplied: int) -> Record:
    """Two warps that copy, wait and multiply; warp 1 is late, so the barrier keeps warp 0 waiting."""
    a, g = (file, copied), (file, multiplied)
    events = (
        Event("compute", 0, 0, 4, a, "cp_async_16 x 4", "A_shared", 0, 2048),
        Event("wait", 0, 4, 64, g, "wait for copies"),
        Event("wait", 0, 64, 70, g, "barrier 0"),
        Event("collective", 0, 70, 78, g, "mma_m16n8k16_f32_f16 x 8"),
        Event("compute", 1, 2, 6, a, "cp_async_16 x 4", "A_shared", 0, 2048),
        Event("wait", 1, 6, 69, g, "wait for copies"),
        Event("collective", 1, 70, 78, g, "mma_m16n8k16_f32_f16 x 8"),
        Event("phase", "barrier", 64, 70, g, "barrier 0"),
        Event("copy", "copy", 0, 64, a, "cp_async_16", "A_shared", 0, 2048, warp=0, needed=4),
        Event("copy", "copy", 2, 66, a, "cp_async_16", "A_shared", 0, 2048, warp=1, needed=6),
        Event("copy", "copy", 3, 67, ("", 0), "cp_async_16", "B_shared", 1, 2048, warp=1),
    )
    return Record(events, "gemm", (0, 0, 0), 64, 64)
