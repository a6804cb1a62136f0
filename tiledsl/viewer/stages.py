"""The kernel after each pass, as lines that know their place, with what the pass changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tiledsl.compile import Lowered, Stage
from tiledsl.errors import NOWHERE, Span
from tiledsl.ir.printer import Line
from tiledsl.ir.walk import statements
from tiledsl.viewer.differences import Row, difference
from tiledsl.viewer.places import Places


@dataclass(frozen=True)
class TextLine:
    text: str
    place: str


@dataclass(frozen=True)
class StageView:
    """`rows` compare it with the stage before; none where nothing changed."""

    name: str
    seconds: float
    statements: int
    characters: int
    lines: tuple[TextLine, ...]
    rows: tuple[Row, ...]

    @property
    def added(self) -> int:
        return sum(not r.same and r.new >= 0 for r in self.rows)

    @property
    def removed(self) -> int:
        return sum(not r.same and r.old >= 0 for r in self.rows)


def stage_views(stages: Sequence[Stage], printed: Sequence[Sequence[Line]], places: Places) -> tuple[StageView, ...]:
    """`printed` are the lines of each stage's kernel."""
    out: list[StageView] = []
    before: list[str] = []
    for stage, rows in zip(stages, printed, strict=True):
        text = [row.text for row in rows]
        changes = difference(before, text) if out and text != before else ()
        shown = tuple(TextLine(row.text, places.of(row.node.span)) for row in rows)
        count = sum(1 for _ in statements(stage.kernel))
        out.append(StageView(stage.name, stage.seconds, count, sum(map(len, text)) + len(text), shown, changes))
        before = text
    return tuple(out)


def cuda_lines(lowered: Lowered, places: Places) -> tuple[TextLine, ...]:
    """What NVRTC is given. A line belongs to the statement that was last begun, a directive to the one that follows;
    closing braces and what is around the statements belong to none."""
    text = lowered.source.text.split("\n")
    head = lowered.cuda.removesuffix(lowered.source.text).split("\n")[:-1]
    starts = _starts(lowered, text)
    found: list[TextLine] = []
    span = NOWHERE
    for number, line in enumerate(text):
        following = starts.get(number + 1, NOWHERE) if line.startswith("#line") else None
        span = starts.get(number, span) if following is None else following
        bare = not line.strip() or line.lstrip().startswith(("}", "TDS_EXPORT", "TDS_KERNEL"))
        found.append(TextLine(line, "" if bare else places.of(span)))
    return (*(TextLine(line, "") for line in head), *found)


def _starts(lowered: Lowered, text: Sequence[str]) -> dict[int, Span]:
    """The line of `text` where each statement begins: entries begin at their TDS_KERNEL lines."""
    heads = {m[1]: n for n, line in enumerate(text) if (m := re.match(r"TDS_KERNEL\([^)]*\)\s*(\w+)\(", line))}
    return {heads[e.name] + at: span for e in lowered.source.entries for at, span in e.places}
