"""What the checked CPU device finds to be wrong, as data: facts, both places in the user's file, text and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiledsl.errors import NOWHERE, Span, TileError, error

Index = tuple[int, int, int]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, found `count` times between the same two places.

    `span` and `other_span` are the places in the user's file; NOWHERE if there is no second one, or none is known.
    Threads are numbered in their block, blocks by their index in the grid. `element` counts from the beginning of the
    stage `stage` of the shared tile `buffer`; of a tile with one version the stage is None. `facts` fill the message of
    the catalogue's row `code`.
    """

    code: str
    span: Span = NOWHERE
    other_span: Span = NOWHERE
    thread: int | None = None
    other_thread: int | None = None
    block: Index | None = None
    other_block: Index | None = None
    buffer: str | None = None
    stage: int | None = None
    element: int | None = None
    count: int = 1
    facts: Mapping[str, object] = field(default_factory=dict, hash=False)
    _problem: TileError | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, problem: TileError) -> Finding:
        """An error as a finding: what other executions report stands in one list with what the detector reports."""
        buffer = problem.facts.get("buffer")
        other = next((span for _, span in problem.notes if span is not NOWHERE), NOWHERE)
        name = str(buffer) if buffer is not None else None
        return cls(problem.code, problem.span, other, buffer=name, facts=dict(problem.facts), _problem=problem)

    def error(self) -> TileError:
        """The finding as the error of its code, its second place as a note."""
        if self._problem is not None:
            return self._problem
        notes = ((self._note(), self.other_span),) if self.other_span is not NOWHERE else ()
        return error(self.code, self.span, notes, **self.facts)

    @property
    def text(self) -> str:
        """The message with both lines of the user's file, as an error shows it."""
        times = f"\n  found {self.count} times" if self.count > 1 else ""
        return f"{self.error()}{times}"

    def __str__(self) -> str:
        return self.text

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is not known is absent."""
        problem = self.error()
        data: dict[str, Any] = {
            "code": self.code,
            "message": problem.message,
            "hint": problem.hint,
            "count": self.count,
        }
        data |= {"place": _place(self.span), "other_place": _place(self.other_span)}
        for name in ("thread", "other_thread", "block", "other_block", "buffer", "stage", "element"):
            data[name] = getattr(self, name)
        data["facts"] = {name: str(value) for name, value in self.facts.items()}
        return {name: value for name, value in data.items() if value is not None}

    def _note(self) -> str:
        who = _who(self.other_thread, self.other_block if self.other_block != self.block else None)
        what = self.facts.get("other_access") or self.facts.get("other")
        if self.code == "TD0831" or what is None:
            return f"the other place{who}"
        return f"{what}{who}"


def _who(thread: int | None, block: Index | None) -> str:
    of = f" of block {block}" if block is not None else ""
    return f" by thread {thread}{of}" if thread is not None else of


def _place(span: Span) -> dict[str, object] | None:
    return None if span is NOWHERE else {"file": span.file, "line": span.line}


def from_report(raw: Mapping[str, Any]) -> Finding:
    """A finding of the native runtime, which counts bytes, as the catalogue and the user see it."""
    facts: dict[str, object] = dict(raw["facts"])
    code, block, other_block = f"TD{raw['code']:04d}", _index(raw["block"]), _index(raw["other_block"])
    thread = raw["thread"] if raw["thread"] >= 0 else None
    other_thread = raw["other_thread"] if raw["other_thread"] >= 0 else None
    stage, element = (int(str(facts[n])) if n in facts else None for n in ("stage", "element"))
    facts["place"] = _where_in(facts, stage, element)
    facts.setdefault("where", f"block {block}" + (f", thread {thread}" if thread is not None else ""))
    match code:
        case "TD0809":
            facts["message"] = facts["message"] or "condition is false"
        case "TD0805":
            facts["where"] = f"{facts['access']} by thread {thread}, block {block}"
        case "TD0814":
            facts |= {"block": str(block), "other": str(other_block)}
        case _:
            facts.setdefault("block", f"block {block}")
    return Finding(
        *(code, _span(raw["at"]), _span(raw["other_at"]), thread, other_thread, block),
        other_block if other_thread is not None else None,
        str(facts["buffer"]) if "buffer" in facts else None,
        *(stage, element, raw["count"], facts),
    )


def _where_in(facts: Mapping[str, object], stage: int | None, element: int | None) -> str:
    """What follows the buffer's name in a message."""
    if element is not None:
        return f"[stage {stage}, element {element}]" if stage is not None else f"[element {element}]"
    return f" at byte {facts['offset']}" if "offset" in facts else ""


def _index(values: list[int]) -> Index:
    x, y, z = values
    return x, y, z


def _span(site: list[Any]) -> Span:
    file, line = site
    return Span(file, line, 0, line, 0) if file else NOWHERE
