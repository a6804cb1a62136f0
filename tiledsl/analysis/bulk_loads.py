"""Which tiles the copy engine can bring for the threads of a block that has no roles: one of them asks, all wait.

Beside the rules for one copy (`copy_engine`): the thread that asks must see what the others see, what it asks for must
not be written by this launch, and it must pay. Source: algorithms.md C.8, D.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from tiledsl.analysis.access import accesses, statements_below, storage_roots
from tiledsl.analysis.copy_engine import UNIT, bulk_bytes, why_not_bulk
from tiledsl.analysis.turns import decided_by
from tiledsl.analysis.uniform import Uniform, seen_in, uniform_values
from tiledsl.analysis.vector_width import assumed_divisors
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.nodes import (
    Block,
    Buffer,
    Expr,
    Kernel,
    Launch,
    Let,
    Space,
    Stmt,
    Var,
)
from tiledsl.ir.tile import Copy
from tiledsl.ir.walk import statements
from tiledsl.target import Target

FEATURES = frozenset({"tma", "mbarrier_tx"})


class Engine(Enum):
    """When the copy engine loads tiles for threads that compute: where it pays, wherever it can, or never."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Loads:
    """The question about single copies of a launch, over tables that are made once."""

    def __init__(self, kernel: Kernel, launch: Launch, target: Target | None, engine: Engine) -> None:
        self.threads, self.always = launch.num_threads, engine is Engine.ALWAYS
        self.never = _never(launch, target, engine)
        self.asked = target is not None and target.features >= FEATURES
        if self.never:
            return
        self.divisors = assumed_divisors(kernel)
        self.alike: Uniform = uniform_values(kernel, launch, held=(Space.FRAGMENT, Space.SHARED))
        self.written = {a.buffer for s in launch.body for a in accesses(s) if a.writes}
        self.safe = {v.buffer for v in launch.safe_values}
        roots = storage_roots(launch.body)
        self.viewed = {*roots, *roots.values()}
        self.layouts = launch.layouts
        self.lets = _lets(launch.body)

    def see(self, block: Block) -> None:
        """Statements that have been made of those of the launch."""
        if not self.never:
            seen_in(block, self.alike)
            self.lets |= _lets(block)

    def why_not(self, copy: Copy, around: Sequence[Stmt], guards: Sequence[Expr] = ()) -> str:
        """Why threads make this copy themselves; empty if the copy engine is to. `around`: loops and conditionals."""
        if self.never:
            return self.never
        tensor, tile = copy.src.buffer, copy.dst.buffer
        if why := why_not_bulk(copy, self.divisors, self.layouts):
            return why
        if tensor in self.written or tensor in self.safe:
            said = "is written by the kernel" if tensor in self.written else "has another value than 0 out of bounds"
            return f"'{tensor.name}' {said}"
        if tile in self.viewed:
            return f"'{tile.name}' is also used through a view"
        if not all(map(self.alike, (*copy.src.offsets, *copy.dst.offsets, *guards, *decided_by(around)))):
            return "where it is from, or whether it is made, may differ between threads"
        return self._pays(copy)

    def _pays(self, copy: Copy) -> str:
        """Asking and waiting cost more instructions than a cp.async of each thread, if that brings the whole tile."""
        size = bulk_bytes(copy)
        if self.always or size > UNIT * self.threads:
            return ""
        return f"it has {size} bytes, for which one copy of {UNIT} bytes by each of {self.threads} threads is enough"


def _lets(block: Block) -> dict[Var, Expr]:
    return {s.var: s.value for s in statements_below(block) if isinstance(s, Let)}


def _never(launch: Launch, target: Target | None, engine: Engine) -> str:
    if target is None or not target.features >= FEATURES:
        return f"{target.name if target else 'the target'} has no copy engine"
    if engine is Engine.NEVER:
        return "the copy engine is turned off"
    if any(isinstance(s, Roles) for s in statements(launch)):
        return "the launch has roles"
    return ""


def is_load(s: Stmt) -> bool:
    """Whether `s` copies from global to shared memory by threads, so far."""
    match s:
        case Copy(src, dst, bulk=False, asynchronous=False):
            return (src.buffer.space, dst.buffer.space) == (Space.GLOBAL, Space.SHARED)
    return False


def tiles_of(copies: Sequence[Copy]) -> tuple[Buffer, ...]:
    return tuple(dict.fromkeys(c.dst.buffer for c in copies))
