"""What a law is: a statement about all that a strategy draws, tried on as much of it as there is time for."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers

from tiledsl.ir.nodes import Expr, Kernel, Stmt
from tiledsl.ir.printer import text

Example = Mapping[str, Any]
EXAMPLE_SECONDS = 120  # an example that takes longer hangs
SHRINK_SECONDS = 60.0  # a failure that is still being made smaller after that is reported as it is


@dataclass(frozen=True)
class Failure:
    """The smallest example found on which a law does not hold, and what was raised there."""

    law: str
    seed: int
    max_examples: int
    example: Example
    error: BaseException

    @property
    def command(self) -> str:
        """The shell command that finds it again."""
        return f"python -m tiledsl.testing.fuzz --replay {self.law} --seed {self.seed} --examples {self.max_examples}"

    @property
    def place(self) -> str:
        """Where it was raised: file, line and function, without the law's own frames in hypothesis."""
        frames = traceback.extract_tb(self.error.__traceback__)
        return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else "nowhere"

    def __str__(self) -> str:
        shown = "\n".join(f"{name} = {in_words(value)}" for name, value in self.example.items())
        said = "".join(traceback.format_exception(self.error)).rstrip()
        return f"the law '{self.law}' does not hold for\n{shown}\n\n{said}\n\nagain with: {self.command}"


@dataclass(frozen=True)
class Outcome:
    """What one exploration of a law gave: how many examples it held on, the failure if any, and the time it took."""

    examples: int
    failure: Failure | None
    seconds: float


def in_words(value: Any) -> str:
    """IR as its text, anything else as Python shows it."""
    if isinstance(value, Kernel | Expr | Stmt):
        return text(value)
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return "(" + ", ".join(in_words(x) for x in value) + ")"
    return repr(value)


class _TimeIsOver(BaseException):
    """Ends an exploration; hypothesis lets it pass."""


@dataclass(frozen=True)
class Law:
    """`check(**example)` raises nothing for every example that `strategy` draws.

    `invariants` are the numbers of the design's list that it covers (P3, S10), empty for the others. `room` is the
    part of the compiler that it is about. `examples` is how many the tests try by default; laws whose examples cost
    much have few. `compiler`: whether the check needs a C++ compiler on this machine. `share`: of the time of a
    long run, relative to the other laws.
    """

    name: str
    invariants: tuple[str, ...]
    strategy: st.SearchStrategy[Example]
    check: Callable[..., None]
    room: str
    examples: int = 50
    compiler: bool = False
    share: float = 1.0

    def run(self, max_examples: int, seed: int = 0) -> Failure | None:
        """Try `max_examples` examples; the same ones for the same seed. None if the law holds on all of them."""
        return self.explore(max_examples, seed).failure

    def explore(self, max_examples: int, seed_: int = 0, seconds: float = float("inf")) -> Outcome:
        """As `run`, but stop after `seconds` as well, and say how many examples were tried."""
        start = time.monotonic()
        tried = _Tried(self.check, start + seconds)
        body = given(self.strategy)(lambda example: tried(example))
        body = settings(
            max_examples=max_examples,
            database=None,
            derandomize=False,
            deadline=None,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )(body)
        failure = None
        try:
            with _no_constants_of_modules():
                seed(seed_)(body)()
        except (_TimeIsOver, Unsatisfiable):
            pass
        except Exception as raised:
            if tried.failed is None:
                raise  # not the check: the strategy itself
            tried.error = raised if tried.error is None else tried.error
        if tried.failed is not None and tried.error is not None:
            tried.error.__notes__ = []  # hypothesis shows the example there, without its text
            failure = Failure(self.name, seed_, max_examples, tried.failed, tried.error)
        return Outcome(tried.held, failure, time.monotonic() - start)


@contextmanager
def _no_constants_of_modules() -> Iterator[None]:
    """Hypothesis mixes the constants of all loaded modules into what it draws, from 6.131 on.

    A seed would mean other examples in every process, and a failure could not be replayed.
    """
    if not hasattr(providers, "_get_local_constants"):
        yield
        return
    none = type(providers._get_local_constants())()
    replaced = {"_get_local_constants": lambda: none, "CONSTANTS_CACHE": LRUCache(1024)}
    kept = {name: getattr(providers, name) for name in replaced}
    vars(providers).update(replaced)
    try:
        yield
    finally:
        vars(providers).update(kept)


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raises TimeoutError inside after so much processor time, where the system measures it and in the main thread.

    Time of the processor, because a machine that is busy with other things must not make a law fail.
    """
    if not hasattr(signal, "SIGPROF") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGPROF, over)
    outer, _ = signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, outer)
        signal.signal(signal.SIGPROF, before)


class _Tried:
    """Calls the check, counts, and keeps the last failing example: hypothesis shows the smallest one last."""

    def __init__(self, check: Callable[..., None], deadline: float) -> None:
        self.check, self.deadline = check, deadline
        self.held = 0
        self.failed: Example | None = None
        self.error: BaseException | None = None

    def __call__(self, example: Example) -> None:
        if time.monotonic() > self.deadline:
            raise _TimeIsOver
        try:
            with time_limit(EXAMPLE_SECONDS):
                self.check(**example)
        except Exception as raised:
            if type(raised).__name__ in ("UnsatisfiedAssumption", "StopTest"):
                raise
            if self.failed is None:
                self.deadline = time.monotonic() + SHRINK_SECONDS
            self.failed, self.error = example, raised
            raise
        self.held += 1


def law(
    *invariants: str,
    examples: int = 50,
    compiler: bool = False,
    share: float = 1.0,
    **strategies: st.SearchStrategy[Any],
) -> Callable[[Callable[..., None]], Law]:
    """Makes a function a Law of the same name over the strategies of its arguments:

    @law("P3", program=pipelined_programs())
    def pipelining_keeps_the_meaning(program): ...
    """

    def decorate(check: Callable[..., None]) -> Law:
        room = check.__module__.rsplit(".", 1)[-1]
        name = check.__name__
        return Law(name, invariants, st.fixed_dictionaries(strategies), check, room, examples, compiler, share)

    return decorate


@contextmanager
def refused(kind: type[Exception]) -> Iterator[None]:
    """What runs inside must raise `kind`; AssertionError if it does not."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"no {kind.__name__} was raised")


def laws_of(names: Mapping[str, Any]) -> tuple[Law, ...]:
    """The laws among a module's names, in the order in which they were written."""
    return tuple(value for value in names.values() if isinstance(value, Law))
