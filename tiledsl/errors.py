"""What goes wrong, where in the user's file, and what to try.

`TileError` is what a user can cause, `VerifyError` what only a bug in a pass can cause. Every message has a code;
`tiledsl/catalogue.py` holds the messages, hints and explanations, one row each.
"""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from tiledsl.catalogue import CATALOGUE


@dataclass(frozen=True, slots=True)
class Span:
    """A range of the user's source. Lines count from 1, columns from 0, as in `ast`; `end_col` is exclusive.

    An empty range is a line of which no columns are known.
    """

    file: str
    line: int
    col: int
    end_line: int
    end_col: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" + (f":{self.col + 1}" if self.has_columns else "")

    @property
    def has_columns(self) -> bool:
        return (self.end_line, self.end_col) > (self.line, self.col)

    def __reduce__(self) -> tuple[object, ...]:
        """In another process too NOWHERE is the one that there is."""
        return _span, (self.file, self.line, self.col, self.end_line, self.end_col)

    def excerpt(self) -> str:
        """The first line of the range with carets under it; empty if the file cannot be read."""
        text = linecache.getline(self.file, self.line).rstrip()
        if not text:
            return ""
        start = self.col if self.has_columns else len(text) - len(text.lstrip())
        end = self.end_col if self.has_columns and self.end_line == self.line else len(text)
        return f"    {text}\n    {' ' * start}{'^' * max(1, end - start)}"


NOWHERE = Span("<generated>", 0, 0, 0, 0)


def _span(file: str, line: int, col: int, end_line: int, end_col: int) -> Span:
    made = Span(file, line, col, end_line, end_col)
    return NOWHERE if made == NOWHERE else made


class TileError(Exception):
    """An error in the user's kernel, its arguments or its environment. `code` is a key of the catalogue.

    Build one with `error(code, **facts)`. `span` may be filled in later by `locating`; `notes` are further places,
    each with what happened there, `facts` what the message was filled in with.
    """

    def __init__(
        self, code: str, message: str, span: Span = NOWHERE, hint: str = "", notes: tuple[tuple[str, Span], ...] = ()
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.span, self.hint, self.notes = code, message, span, hint, notes
        self.facts: Mapping[str, object] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """As it travels between processes; facts that are no plain data do so as text."""
        facts = {n: v if isinstance(v, (str, int, float, bool)) else str(v) for n, v in self.facts.items()}
        return _error_again, (type(self), self.code, self.message, self.span, self.hint, self.notes, facts)

    def __str__(self) -> str:
        place = "" if self.span is NOWHERE else f"{self.span}: "
        parts = [f"{place}{self.code}: {self.message}"]
        if self.span is not NOWHERE:
            parts.append(self.span.excerpt())
        for note, span in self.notes:
            parts += [f"  note: {note}" + ("" if span is NOWHERE else f" ({span})"), span.excerpt()]
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        return "\n".join(p for p in parts if p)

    def to_json(self) -> dict[str, object]:
        """The error as plain data: code, message, hint, file, line, column (from 1; None if not known), notes."""
        notes = [{"message": text, "place": str(span)} for text, span in self.notes]
        column = self.span.col + 1 if self.span.has_columns else None
        place = {"file": self.span.file, "line": self.span.line, "column": column}
        return {"code": self.code, "message": self.message, "hint": self.hint, **place, "notes": notes}


def _error_again(
    kind: type[TileError],
    code: str,
    message: str,
    span: Span,
    hint: str,
    notes: tuple[tuple[str, Span], ...],
    facts: Mapping[str, object],
) -> TileError:
    made = kind.__new__(kind)
    TileError.__init__(made, code, message, span, hint, notes)
    made.facts = facts
    return made


class VerifyError(TileError):
    """The IR breaks an invariant: a bug in a pass, never in the user's kernel."""

    def __init__(self, message: str, span: Span = NOWHERE) -> None:
        super().__init__("TD0001", message, span)


def error(code: str, span: Span = NOWHERE, notes: tuple[tuple[str, Span], ...] = (), **facts: object) -> TileError:
    """The catalogue's error `code`, its message and hint filled in with `facts`; the caller raises it."""
    entry = CATALOGUE[code]
    made = TileError(code, entry.message.format(**facts), span, entry.hint.format(**facts), notes)
    made.facts = facts
    return made


class locating:
    """`with locating(span):` gives `span` to any `TileError` raised inside without one."""

    def __init__(self, span: Span) -> None:
        self.span = span

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _type: type[BaseException] | None, raised: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if isinstance(raised, TileError):
            locate(raised, self.span)


def locate(raised: TileError, span: Span) -> None:
    """Gives `span` to an error that has none. For loops that are too hot for `with locating`."""
    if raised.span is NOWHERE:
        raised.span = span
