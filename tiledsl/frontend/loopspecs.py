"""What loop words return: a description that a `for` statement of a kernel turns into a loop."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.proxies import Scalar, binary, describe, index_of, operand, reads_of, scalar
from tiledsl.frontend.source import fail
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import Binary, Const, Expr, LoopKind, Serial
from tiledsl.ir.simplify import simplify


class LoopSpec:
    """What a loop word returns: only a `for` statement of a kernel or macro can run over it."""

    word = "a loop word"

    def __iter__(self) -> Iterator[Any]:
        raise fail("TD0135", word=self.word)


@dataclass(frozen=True)
class Counted(LoopSpec):
    """Iterations start, start + step, ... below `stop` (above, for a negative step)."""

    start: Any
    stop: Any
    step: Any = 1
    kind: LoopKind = field(default_factory=Serial)
    word: str = "range"


@dataclass(frozen=True)
class Box(LoopSpec):
    """The points of `T.Parallel`."""

    extents: tuple[int, ...]
    width: int = 0
    word: str = "T.Parallel"


@dataclass(frozen=True)
class Bound(LoopSpec):
    """A loop that the hardware runs: its body is executed once, with the variable bound to `value`."""

    value: Scalar
    word: str = "T.thread_binding"


@dataclass(frozen=True)
class Tiles(LoopSpec):
    """The tiles of `T.Persistent`: of a box, those numbered `index`, `index + wave`, `index + 2 * wave`, ..."""

    domain: tuple[Expr, ...]
    wave: Expr
    index: Expr
    group: int
    word: str = "T.Persistent"

    @property
    def count(self) -> Expr:
        """How many tiles there are."""
        return _product(self.domain)

    def coordinates(self, tile: Expr, inside: bool = True) -> list[Expr]:
        """Which tile has the number `tile`: `group` columns of the last dimension at a time, row by row.

        The last group has the columns that are left. The clamps change nothing where the number is `inside` of the box;
        they are how later passes find the bounds of coordinates again. Without them some coordinate of a number beyond
        the last is beyond its extent. Source: TileLang, `PersistentFor`; there the last dimension must be divisible.
        """

        def within(e: Expr, extent: Expr) -> Expr:
            return Binary("min", e, _folded(extent - 1)) if inside else e

        *outer, last = self.domain
        group = min(self.group, int(last.value)) if isinstance(last, Const) else self.group
        groups = _folded((last + (group - 1)) // group)
        size = _folded(_product(outer) * group)
        number = within(tile // size, groups)
        width: Expr = Const(group)
        if not isinstance(last, Const) or int(last.value) % group:
            width = Binary("max", Const(1), Binary("min", width, last - number * group))
        rest = (tile % size) // width
        found = [within(number * group + (tile % size) % width, last)]
        for extent in outer[:0:-1]:
            found.append(rest % extent)
            rest = rest // extent
        found += [within(rest, outer[0])] if outer else []
        return list(found[::-1])


def _product(extents: Sequence[Expr]) -> Expr:
    result: Expr = Const(1)
    for e in extents:
        result = result * e
    return _folded(result)


def _folded(e: Expr) -> Expr:
    return simplify(e, {})


def iterator(fn: Any) -> Any:
    """`fn` of `for x in fn(...)`, where Python's own `range` is a loop of the kernel."""
    return serial_range if fn is builtins.range else fn


def serial_range(start: Any, stop: Any = None, step: Any = 1, /) -> LoopSpec:
    """`range` as a serial loop."""
    return Counted(0, start) if stop is None else Counted(start, stop, step)


def normalised(spec: Counted) -> tuple[int | Scalar, Expr, int]:
    """Start, number of iterations, and step. Raises TileError TD0225 for a step that is no constant but 0."""
    step = operand(spec.step)
    if isinstance(step, Scalar) or int(step) != step or step == 0:
        raise fail("TD0225", word=spec.word, step=describe(spec.step))
    step = int(step)
    start, stop = _stable(spec.start, "start", spec.word), _stable(spec.stop, "stop", spec.word)
    if isinstance(start, int) and isinstance(stop, int):
        return start, Const(len(range(start, stop, step)), INDEX), step
    if isinstance(start, int) and start == 0 and step > 0:
        distance = scalar(stop)
    else:
        distance = binary("-", stop, start) if step > 0 else binary("-", start, stop)
    if abs(step) != 1:
        distance = binary("//", binary("+", distance, abs(step) - 1), abs(step))
    return start, index_of(distance), step


def _stable(value: Any, name: str, word: str) -> int | Scalar:
    """A bound of a loop; one that reads memory is read once, before the loop."""
    value = operand(value)
    e = index_of(value, f"the {name} of {word}")
    if not isinstance(value, Scalar):
        return int(value)
    if isinstance(e, Const):
        return int(e.value)
    found = Scalar(e, INDEX, value.frame, reads_of(value))
    return bind(found, name) if found.reads else found
