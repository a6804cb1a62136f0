"""`python -m tiledsl.testing.fuzz`: tries the laws of the compiler for as long as it is given, each with its share.

Every failure becomes a directory with the smallest example found and the command that finds it again. The laws run in
processes of their own: one that dies or hangs is a failure of its law, and the others go on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from zlib import crc32

from tiledsl.ir.nodes import Kernel
from tiledsl.settings import setting
from tiledsl.testing.laws import LAWS, Failure, Law
from tiledsl.testing.laws.base import in_words
from tiledsl.validation.bundle import Bundle, write_bundle

EXAMPLES = 1000  # of one slice at most; a failure is found again with the same number
MOST_FAILURES = 3  # a law that failed so often is left alone
LONGEST_SLICE = 15.0  # seconds
LONG_ENOUGH = 10.0  # seconds, in which every law has an example: a law that was not tried does not hold
GRACE = 900.0  # seconds that a process may take beyond its slice, to make a failure small, before it counts as hung


@dataclass(frozen=True)
class Found:
    """What a slice gave, as plain data between processes. `failure` is one line, `bundle` where the rest is."""

    examples: int
    seconds: float
    failure: str = ""
    place: str = ""
    bundle: str = ""


@dataclass
class Tally:
    """What one law has seen so far. `failures` has a line for each place that something was raised at."""

    law: Law
    slices: int = 0
    examples: int = 0
    seconds: float = 0.0
    promised: float = 0.0  # of the slices that run now
    failures: dict[str, Found] = field(default_factory=dict)

    @property
    def spent(self) -> float:
        return (self.seconds + self.promised) / self.law.share

    def add(self, found: Found) -> bool:
        """Counts a slice; whether it found a failure that was not known."""
        self.examples += found.examples
        self.seconds += found.seconds
        if not found.failure or found.place in self.failures:
            return False
        self.failures[found.place] = found
        return True


def slice_of(name: str, seed: int, seconds: float, directory: str) -> Found:
    """One slice of a law, in a process of its own; a failure is written to `directory`."""
    outcome = LAWS[name].explore(EXAMPLES, seed, seconds)
    if outcome.failure is None:
        untried = "" if outcome.examples or seconds < LONG_ENOUGH else f"no example in {seconds:.0f} s of seed {seed}"
        return Found(outcome.examples, outcome.seconds, untried, untried and "the strategy")
    said = str(outcome.failure.error).strip().split("\n")[0][:200]
    line = f"{type(outcome.failure.error).__name__}: {said}"
    path = write_failure(outcome.failure, directory)
    return Found(outcome.examples, outcome.seconds, line, outcome.failure.place, str(path))


def write_failure(failure: Failure, directory: str | Path) -> Path:
    """A repro bundle: the kernel of the example if it has one, else the example itself as text."""
    values = failure.example.values()
    kernels = [v if isinstance(v, Kernel) else getattr(v, "kernel", None) for v in values]
    kernel = next((k for k in kernels if isinstance(k, Kernel)), None)
    shown = "\n".join(f"{name} = {in_words(value)}" for name, value in failure.example.items())
    facts = {"law": failure.law, "seed": failure.seed, "examples": failure.max_examples, "command": failure.command}
    return write_bundle(Bundle(failure.law, str(failure), kernel or shown, facts=facts), directory)


class Fuzzer:
    """Deals slices of time to laws: always to the law that has had the least of its share."""

    def __init__(self, laws: Sequence[Law], seconds: float, seed: int, jobs: int, directory: str) -> None:
        self.tallies = [Tally(law) for law in laws]
        self.seed, self.jobs, self.directory = seed, jobs, directory
        self.slice = max(1.0, min(LONGEST_SLICE, seconds * jobs / len(laws) / 3))
        self.start = time.monotonic()
        self.end = self.start + seconds
        self.running: dict[Future[Found], tuple[Tally, float, float]] = {}  # its law, its seconds, when it began

    def run(self) -> Iterator[tuple[Tally, Found]]:
        """Runs until the time is over; yields every slice as it ends."""
        pool = self.new_pool()
        try:
            while True:
                while len(self.running) < self.jobs and (tally := self.next_law()) is not None:
                    self.submit(pool, tally)
                if not self.running:
                    return
                done, _ = wait(self.running, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in done:
                    yield self.finish(future)
                if any(isinstance(f.exception(), BrokenProcessPool) for f in done) or self.is_hung():
                    yield from self.abandon(pool)
                    pool = self.new_pool()
        finally:
            stop(pool)

    def new_pool(self) -> ProcessPoolExecutor:
        quick = "forkserver" in multiprocessing.get_all_start_methods()  # imports everything once
        context = multiprocessing.get_context("forkserver" if quick else "spawn")
        if quick:
            context.set_forkserver_preload(["tiledsl.testing.laws"])
        return ProcessPoolExecutor(self.jobs, context, max_tasks_per_child=40)

    def next_law(self) -> Tally | None:
        open_laws = [t for t in self.tallies if len(t.failures) < MOST_FAILURES]
        if time.monotonic() >= self.end or not open_laws:
            return None
        return min(open_laws, key=lambda t: t.spent)

    def submit(self, pool: ProcessPoolExecutor, tally: Tally) -> None:
        seconds = min(self.slice, max(0.5, self.end - time.monotonic()))
        seed = crc32(f"{self.seed}/{tally.law.name}/{tally.slices}".encode())
        tally.slices += 1
        tally.promised += seconds
        future = pool.submit(slice_of, tally.law.name, seed, seconds, self.directory)
        self.running[future] = (tally, seconds, time.monotonic())

    def finish(self, future: Future[Found]) -> tuple[Tally, Found]:
        tally, seconds, start = self.running.pop(future)
        tally.promised -= seconds
        try:
            found = future.result(timeout=0)
        except Exception as raised:  # the process died, or the law's own code is wrong
            said = f"{type(raised).__name__}: {raised}".split("\n")[0]
            found = Found(0, time.monotonic() - start, said, said)
        return tally, found

    def is_hung(self) -> bool:
        now = time.monotonic()
        return any(now - start > seconds + GRACE for _, seconds, start in self.running.values())

    def abandon(self, pool: ProcessPoolExecutor) -> Iterator[tuple[Tally, Found]]:
        """Ends the processes; the slices that ran in them failed, as which of them did it is not known."""
        for process in list((pool._processes or {}).values()):
            process.kill()
        stop(pool)
        for tally, seconds, start in self.running.values():
            tally.promised -= seconds
            yield tally, Found(0, time.monotonic() - start, "its process hung or died", "process")
        self.running.clear()


def stop(pool: ProcessPoolExecutor) -> None:
    pool.shutdown(wait=False, cancel_futures=True)


def chosen_laws(patterns: Sequence[str]) -> list[Law]:
    """The laws whose name or room matches one of the patterns; all of them if there are no patterns."""
    return [x for x in LAWS.values() if not patterns or any(fnmatch(n, p) for p in patterns for n in (x.name, x.room))]


def progress(fuzzer: Fuzzer) -> str:
    """One line: how far, how many examples, how many failures."""
    examples = sum(t.examples for t in fuzzer.tallies)
    failures = sum(len(t.failures) for t in fuzzer.tallies)
    now = time.monotonic()
    done = min(1.0, (now - fuzzer.start) / max(fuzzer.end - fuzzer.start, 1e-9))
    return f"{done:4.0%}  {now - fuzzer.start:6.0f} s  {examples} examples  {failures} failures"


def summary(tallies: Sequence[Tally]) -> str:
    """A table of law, invariants, examples, failures, seconds, and the failures one by one below it."""
    rows = [(t.law.name, " ".join(t.law.invariants), t.examples, len(t.failures), f"{t.seconds:.0f}") for t in tallies]
    rows.append(("all", "", sum(t.examples for t in tallies), sum(len(t.failures) for t in tallies), ""))
    table = [("law", "invariants", "examples", "failures", "seconds"), *(tuple(map(str, r)) for r in rows)]
    widths = [max(len(r[i]) for r in table) for i in range(5)]
    lines = [
        "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))).rstrip()
        for r in table
    ]
    for t in tallies:
        for place, found in t.failures.items():
            lines += ["", f"{t.law.name}: {found.failure}", f"    at {place}", f"    {found.bundle}"]
    return "\n".join(lines)


def replay(name: str, seed: int, examples: int) -> int:
    failure = LAWS[name].run(examples, seed)
    print(failure if failure is not None else f"the law '{name}' holds on {examples} examples of seed {seed}")
    return int(failure is not None)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tiledsl.testing.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, default 1")
    parser.add_argument("--seed", type=int, default=0, help="another seed tries other examples")
    parser.add_argument("--laws", nargs="*", default=[], metavar="NAME", help="laws or rooms, * allowed; default: all")
    parser.add_argument("--jobs", type=int, default=1, help="processes, default 1")
    parser.add_argument("--out", default=None, metavar="DIRECTORY", help="of the failures, default TILEDSL_REPRO")
    parser.add_argument("--list", action="store_true", help="print the laws and exit")
    parser.add_argument(
        "--replay", choices=list(LAWS), metavar="LAW", help="try one law on --seed, and show what fails"
    )
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="with --replay: how many")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 if a law failed."""
    args = arguments(argv)
    if args.replay:
        return replay(args.replay, args.seed, args.examples)
    laws = chosen_laws(args.laws)
    if args.list or not laws:
        print("\n".join(f"{x.room:16} {x.name}  {' '.join(x.invariants)}" for x in laws or LAWS.values()))
        return 0 if laws else 2
    fuzzer = Fuzzer(laws, args.minutes * 60, args.seed, args.jobs, args.out or setting("TILEDSL_REPRO"))
    line = Line(sys.stderr.isatty())
    for tally, found in fuzzer.run():
        if tally.add(found):
            line.end()
            print(f"{tally.law.name}: {found.failure}\n    {found.bundle}", file=sys.stderr, flush=True)
        line.show(progress(fuzzer))
    line.end()
    print(summary(fuzzer.tallies))
    return int(any(t.failures for t in fuzzer.tallies))


class Line:
    """A line that is written over and over on a terminal, and once in half a minute elsewhere."""

    def __init__(self, terminal: bool) -> None:
        self.terminal, self.last = terminal, 0.0

    def show(self, text: str) -> None:
        now = time.monotonic()
        if self.terminal:
            print(f"\r{text}", end="", file=sys.stderr, flush=True)
        elif now - self.last > 30:
            print(text, file=sys.stderr, flush=True)
            self.last = now

    def end(self) -> None:
        if self.terminal:
            print(file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
