"""Which line of the user's files a thing belongs to, as a short key that all parts of a page share."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path
from textwrap import dedent

from tiledsl.errors import NOWHERE, Span
from tiledsl.ir.printer import Line


@dataclass(frozen=True)
class Places:
    """The files that spans name. A place is "file:line", the file by its number here, or "" for no place."""

    files: tuple[str, ...]

    def of(self, span: Span) -> str:
        return self.at(span.file, span.line) if span is not NOWHERE else ""

    def at(self, file: str, line: int) -> str:
        return f"{self.files.index(file)}:{line}" if file in self.files and line > 0 else ""


def places_of(spans: Iterable[Span]) -> Places:
    """In the order of their first appearance; files whose text cannot be read have no places."""
    names = dict.fromkeys(s.file for s in spans if s is not NOWHERE)
    return Places(tuple(name for name in names if linecache.getlines(name)))


@dataclass(frozen=True)
class SourceFile:
    """The part of a file that the kernel comes from: its lines from number `first` on, dedented, each with its place.

    The further lines of a statement of several have the place of its first.
    """

    name: str
    first: int
    lines: tuple[str, ...]
    places: tuple[str, ...]


def source_files(places: Places, lines: Sequence[Line]) -> tuple[SourceFile, ...]:
    """One for each file of `places`: the functions around what `lines`, a kernel's text, come from."""
    spans = [line.node.span for line in lines if line.node.span is not NOWHERE]
    simple = _simple_spans(lines)
    out = []
    for file in places.files:
        text = [line.rstrip("\r\n") for line in linecache.getlines(file)]
        here = {s.line for s in spans if s.file == file}
        first, last = _extent("\n".join(text), here or {1}, len(text))
        starts = {s.line: s.line for s in sorted(simple, key=lambda s: s.line) if s.file == file}
        for s in simple:
            if s.file == file:
                starts.update({n: s.line for n in range(s.line + 1, s.end_line + 1) if n not in starts})
        starts.update({n: n for n in here})
        shown = range(first, last + 1)
        keys = tuple(places.at(file, starts[n]) if n in starts else "" for n in shown)
        body = dedent("\n".join(text[first - 1 : last])).split("\n")
        out.append(SourceFile(shown_name(file), first, tuple(body), keys))
    return tuple(out)


def _simple_spans(lines: Sequence[Line]) -> list[Span]:
    """Of statements without blocks: a span of a loop would claim the comments in it."""
    blocks = {id(line.node) for line in lines if line.closes}
    return [x.node.span for x in lines if id(x.node) not in blocks and x.node.span is not NOWHERE]


def shown_name(file: str) -> str:
    """Relative to the working directory if that is above it, else its last part."""
    path = Path(file)
    if not path.is_absolute():
        return file
    inside = path.is_relative_to(Path.cwd())
    return relpath(file).replace("\\", "/") if inside else path.name


def _extent(text: str, wanted: set[int], count: int) -> tuple[int, int]:
    """First and last line of the innermost functions that hold the wanted lines; without functions, of those lines."""
    first, last = min(wanted), max(wanted)
    try:
        functions = list(_functions(ast.parse(text)))
    except (SyntaxError, ValueError):  # IR text
        return 1, count
    for line in wanted:
        around = [(a, b) for a, b in functions if a <= line <= b]
        if around:
            a, b = max(around)
            first, last = min(first, a), max(last, b)
    return first, min(last, count)


def _functions(tree: ast.Module) -> Iterator[tuple[int, int]]:
    for n in ast.walk(tree):
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield min([n.lineno, *(d.lineno for d in n.decorator_list)]), n.end_lineno or n.lineno
