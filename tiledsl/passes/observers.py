"""What hangs on the observer hook of `run_pipeline`: dumps of the IR and a table of times.

Everything comes in as parameters: the driver reads the environment, not this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tiledsl.ir.nodes import Kernel
from tiledsl.ir.printer import text
from tiledsl.passes.base import Observer, Pass


def both(first: Observer | None, second: Observer | None) -> Observer | None:
    """Calls the observers that there are, in order."""
    if first is None or second is None:
        return first or second
    one, two = first, second

    def observe(p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        one(p, before, after, seconds)
        two(p, before, after, seconds)

    return observe


@dataclass
class Dump:
    """Writes `directory/NN-pass-name.tir` after each pass in `wanted` ("all", or names separated by commas).

    NN counts all passes from 01, so that the files of a run sort in its order; 00-input.tir is what came in.
    """

    wanted: str
    directory: Path
    _count: int = 0

    def __call__(self, p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        self._count += 1
        if self._count == 1 and self._wants("input"):
            self._write("00-input.tir", before)
        if self._wants(p.name):
            self._write(f"{self._count:02}-{p.name}.tir", after)

    def _wants(self, name: str) -> bool:
        names = [part.strip() for part in self.wanted.split(",")]
        return "all" in names or name in names

    def _write(self, name: str, kernel: Kernel) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / name).write_text(text(kernel), encoding="utf-8")


@dataclass
class Timing:
    """Collects the seconds of each pass, its verification included; `table()` prints them."""

    rows: list[tuple[str, float]] = field(default_factory=list)

    def __call__(self, p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        self.rows.append((p.name, seconds))

    def table(self) -> str:
        return timing_table(self.rows)


def timing_table(rows: Sequence[tuple[str, float]]) -> str:
    """One line a row, milliseconds right-aligned, and the total."""
    total = sum(seconds for _, seconds in rows)
    shown = [*rows, ("total", total)]
    width = max(len(name) for name, _ in shown)
    return "\n".join(f"{name:<{width}}  {seconds * 1e3:8.2f} ms" for name, seconds in shown)


@dataclass
class Snapshot:
    """Keeps the kernel after the pass `name` as `kernel`; None if that pass did not run."""

    name: str
    kernel: Kernel | None = None

    def __call__(self, p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        if p.name == self.name:
            self.kernel = after
