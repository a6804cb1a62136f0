"""A row of docs/rows.md: kernels at the shape that they are timed at, and at shapes that a CPU checks in seconds."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from tiledsl.checking import check as check_schedules
from tiledsl.cpu.toolchain import find_compiler
from tiledsl.runtime.driver import find_driver
from tiledsl.testing.case import Case, Draw
from tiledsl.testing.check import check

__all__ = ["Row", "main"]
# Each kernel is compiled and checked for the oldest of the first that it runs on, and for the last.
OLD_TARGETS, NEW_TARGET = ("sm_80", "sm_89"), "sm_90a"
SCHEDULES = 5


@dataclass(frozen=True)
class Row:
    """One line of docs/rows.md, from a file of `examples/<family>/` whose function `rows()` gives it.

    `computes` says in a line what, of which dtypes, at which shape. `timed` are its kernels at that shape; a GPU's
    figure is the mean of the times of those that are made for it. `reduced` are the same programs at shapes of a few
    tiles, ragged ones among them. `tilelang` are TileLang's milliseconds on a GPU of the Hopper class: the current
    ones, and where they are known those that it had at first. `remark` is the reason for what is not as it should be:
    registers that are spilled, accesses that meet a bank twice.
    """

    name: str
    computes: str
    timed: tuple[Case, ...]
    reduced: tuple[Case, ...]
    tilelang: tuple[float, ...]
    remark: str = ""

    def targets(self) -> tuple[str, ...]:
        """What the row is compiled for: the oldest GPU that it runs on, and sm_90a."""
        return tuple(sorted({target for _, target in self.programs()}))

    def programs(self) -> Iterator[tuple[Case, str]]:
        """The timed kernels with each target."""
        return ((case, target) for case in self.timed for target in targets_of(case))

    def timed_on(self, target: str) -> tuple[Case, ...]:
        """The timed kernels that are made for a GPU."""
        return tuple(case for case in self.timed if target in case.targets)

    def check(self, schedules: int = SCHEDULES) -> None:
        """Its reduced cases on every execution of the CPU, and under schedules of the checked one, for each target.

        Raises Mismatch for a wrong result, TileError for a finding.
        """
        for case, target in self.variants():
            check_on_cpu(case, target)
            require_clean(case, target, schedules)

    def variants(self) -> Iterator[tuple[Case, str]]:
        """The reduced cases with each target."""
        return ((case, target) for case in self.reduced for target in targets_of(case))

    def check_on_gpu(self, target: str) -> None:
        """The timed kernels once on the GPU that is here, against the reference. Raises Mismatch."""
        for case in self.timed_on(target):
            check(case, backends=("cuda",), schedules=0, target=target)

    def milliseconds(self, target: str) -> float:
        """Of the timed kernels on the GPU that is here, with a cold L2 cache: the mean of their medians."""
        inputs = [(case, case.inputs(Draw(0, exact=False))) for case in self.timed_on(target)]
        return fmean(case.compiled(target).profile(**given).ms for case, given in inputs)


def targets_of(case: Case) -> tuple[str, ...]:
    """The oldest target of the case, and sm_90a where it is one."""
    old = [t for t in OLD_TARGETS if t in case.targets][:1]
    return (*old, *(t for t in (NEW_TARGET,) if t in case.targets))


def executions() -> tuple[str, ...]:
    """Those of the CPU that this machine has."""
    return ("tile", "simt", "cpu") if find_compiler() else ("tile", "simt")


def check_on_cpu(case: Case, target: str, backends: Sequence[str] | None = None) -> None:
    """Every execution gives what the reference does, on small integers and on random numbers. Raises Mismatch."""
    check(case, backends=backends or executions(), schedules=0, target=target)


def require_clean(case: Case, target: str, schedules: int) -> None:
    """No race, access out of bounds or deadlock in the emitted text under so many schedules. Raises TileError."""
    found = check_schedules(case.compiled(target).lowered, (), case.inputs(Draw(0)), schedules=schedules)
    found.raise_if_bad()


def main(rows: Iterable[Row], arguments: Sequence[str] | None = None) -> None:
    """Computes the rows (all, or those named on the command line), checks them, and times them where there is a GPU."""
    known = {row.name: row for row in rows}
    parser = argparse.ArgumentParser(description="Computes, checks and times rows of docs/rows.md.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(known))
    chosen = parser.parse_args(arguments).rows or list(known)
    if unknown := {*chosen} - known.keys():
        parser.error(f"there is no row {min(unknown)} here, but {', '.join(known)}")
    for name in chosen:
        _show(known[name])


def _show(row: Row) -> None:
    print(f"{row.name}: {row.computes}")
    for case, target in row.variants():
        start = time.perf_counter()
        check_on_cpu(case, target)
        require_clean(case, target, SCHEDULES)
        how = f"{', '.join(executions())}; nothing found under {SCHEDULES} schedules"
        print(f"  right: {case.name} for {target} ({how}; {time.perf_counter() - start:.1f} s)", flush=True)
    driver = find_driver()
    ours = "no GPU here"
    if driver is not None:
        target = driver.architecture(0)
        ours = f"not made for {target}"
        if row.timed_on(target):
            row.check_on_gpu(target)
            ours = f"right on the GPU, {row.milliseconds(target):.4f} ms"
    print(f"  time: {ours}; TileLang {milliseconds(row.tilelang)} ms on a Hopper GPU")


def milliseconds(times: Sequence[float]) -> str:
    """The current ones, and in brackets the original."""
    return " ".join(f"({t:.4f})" if i else f"{t:.4f}" for i, t in enumerate(times))
