"""What the inference of layouts speaks in: statements, what they demand of buffers, and what a launch's rules share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from tiledsl.analysis.loop_access import LoopAccess
from tiledsl.analysis.vector_width import Divisors, Ranges
from tiledsl.errors import NOWHERE, Span, TileError
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.nodes import Buffer, Stmt
from tiledsl.ir.tile import REARRANGEMENTS, Atomic, Copy, Fill, Gemm, Parallel, Reduce, Scan
from tiledsl.passes.infer_layouts.moved import Moved, Sent
from tiledsl.target import Target


class Level(IntEnum):
    FREE = 0
    COMMON = 1
    STRICT = 2


@dataclass(frozen=True, slots=True)
class Assignment:
    """The layout of a buffer, who demanded it and how firmly.

    `uniform` is the index, as text, with which all threads alike access the buffer, if that is the reason.
    """

    layout: Fragment | Layout
    why: str
    span: Span = NOWHERE
    level: Level = Level.STRICT
    uniform: str = ""


Known: TypeAlias = Mapping[Buffer, Assignment]


@dataclass(frozen=True, slots=True)
class Clash:
    """Why a rule cannot be satisfied; `raised` is what the user sees if nothing else works."""

    raised: TileError


Demands: TypeAlias = dict[Buffer, Assignment]


@dataclass(frozen=True)
class Op:
    """A tile statement of a launch; an element-wise one is a Parallel loop by now.

    `accesses` are those of fragments by a loop, `by_buffer` the same sorted, `shared` those of shared memory. `threads`
    of the block, or of the role in which it stands, execute it.
    """

    index: int
    stmt: Stmt
    uses: tuple[Buffer, ...]  # fragments and shared buffers
    accesses: tuple[LoopAccess, ...] = ()
    by_buffer: Mapping[Buffer, tuple[LoopAccess, ...]] = field(default_factory=dict)
    shared: tuple[LoopAccess, ...] = ()
    touches_global: bool = False
    threads: int = 0

    @property
    def title(self) -> str:
        """How messages call the statement."""
        return _TITLES[type(self.stmt)]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all rules of a launch share, but for the threads: those of a role are its own.

    `moved` are the regions of shared tiles that the copy engine moves, `sent` the sides of its copies to other blocks,
    which are not among them. `widths` remembers what `loop_width` found.
    """

    target: Target
    num_threads: int
    divisors: Divisors
    ranges: Ranges = field(default_factory=dict)
    moved: Moved = field(default_factory=dict)
    sent: Sent = ()
    widths: dict[object, int] = field(default_factory=dict, compare=False, repr=False)


_TITLES: dict[type[Stmt], str] = {
    Copy: "T.copy",
    Fill: "T.fill",
    Atomic: "a tile atomic",
    **{kind: f"T.{kind.word}" for kind in REARRANGEMENTS},
    Parallel: "an element-wise loop",
    Gemm: "T.gemm",
    Reduce: "a reduction",
    Scan: "a scan",
}
