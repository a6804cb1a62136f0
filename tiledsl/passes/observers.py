"""What hangs on the observer hook of `run_pipeline`: dumps of the IR, and a table of times.

Everything comes in as parameters: the driver reads the environment, not this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tiledsl.errors import error
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.printer import text
from tiledsl.passes.base import Observer, Pass


def dump_observer(wanted: str, directory: Path, kernel: Kernel, known: Sequence[str]) -> Observer:
    """Writes `directory/NN-pass-name.tir` after each pass in `wanted`: "all", or names separated by commas.

    NN counts all passes from 01, so that the files of a run sort in its order; 00-input.tir is `kernel`, written at
    once if "input" or "all" is wanted. Raises TileError TD0764 for a name that is none of `known`, TD0715 where the
    files cannot be written.
    """
    names = [part.strip() for part in wanted.split(",")]
    for name in names:
        if name not in ("all", "input", *known):
            raise error("TD0764", name=name, known=", ".join(("all", "input", *known)))
    count = 0

    def write(name: str, shown: Kernel) -> None:
        if "all" in names or name in names:
            path = directory / f"{count:02}-{name}.tir"
            try:
                directory.mkdir(parents=True, exist_ok=True)
                path.write_text(text(shown), encoding="utf-8")
            except OSError as problem:
                raise error("TD0715", path=path, problem=problem.strerror) from None

    def observe(p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        nonlocal count
        count += 1
        write(p.name, after)

    write("input", kernel)
    return observe


def timing_table(rows: Sequence[tuple[str, float]]) -> str:
    """One line a row (name, seconds), in milliseconds and right-aligned, and the total."""
    shown = [*rows, ("total", sum(seconds for _, seconds in rows))]
    width = max(len(name) for name, _ in shown)
    return "\n".join(f"{name:<{width}}  {seconds * 1e3:8.2f} ms" for name, seconds in shown)
