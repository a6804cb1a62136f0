"""Text to IR, the inverse of `printer`. Spans point into the text.

Lark makes a syntax tree of the text, `build` makes nodes of the tree. The result is a kernel in form; whether it is
well-formed says `verify`.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from lark import Lark, UnexpectedInput
from lark.lexer import PatternStr

from tiledsl.errors import Span, TileError, error
from tiledsl.ir.build import Builder
from tiledsl.ir.build_expr import layout
from tiledsl.ir.dtypes import DTYPES
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.literals import LOOP_KINDS
from tiledsl.ir.nodes import Kernel, Space
from tiledsl.ir.ops import BINARY, UNARY
from tiledsl.ir.tile import REARRANGEMENTS


def parse(text: str, file: str = "<text>") -> Kernel:
    """The kernel that `text` describes; `file` names it in spans. Raises TileError TD0701 to TD0707 with the place."""
    try:
        return Builder(file).kernel(_lark().parse(text, start="kernel"))
    except UnexpectedInput as problem:
        _remember(text, file)
        raise _syntax_error(problem, text, file) from None
    except TileError:
        _remember(text, file)
        raise


def parse_layout(text: str) -> Fragment | Layout:
    """The layout that `literals.layout_text` writes as `text`. Raises TileError TD0701."""
    try:
        return layout(_lark().parse(text, start="layout"))
    except UnexpectedInput as problem:
        _remember(text, "<layout>")
        raise _syntax_error(problem, text, "<layout>") from None


def _alternatives(words: Iterable[str]) -> str:
    """A regular expression for any of `words`, longest first."""
    ordered = sorted(words, key=len, reverse=True)
    ends = {"-": "(?!>)"}  # `->` is no minus
    return "|".join(re.escape(w).replace("/", r"\/") + (r"\b" if w[-1].isalnum() else ends.get(w, "")) for w in ordered)


@cache
def _lark() -> Lark:
    # Priorities put words before names, and -5 before an operation on 5.
    terminals = {
        "BINARY_OP.2": (op.symbol for op in BINARY.values() if op.precedence),
        "PREFIX_OP.2": UNARY,
        "DTYPE.3": DTYPES,
        "SPACE": (s.value for s in Space),
        "LOOP_KIND.3": LOOP_KINDS,
        "REARRANGEMENT.3": (kind.word for kind in REARRANGEMENTS),
    }
    rules = Path(__file__).with_name("grammar.lark").read_text()
    rules += "".join(f"\n{name}: /{_alternatives(words)}/" for name, words in terminals.items())
    return Lark(
        rules + "\n", start=["kernel", "layout"], parser="lalr", propagate_positions=True, maybe_placeholders=True
    )


def _syntax_error(problem: UnexpectedInput, text: str, file: str) -> TileError:
    lines = text.splitlines() or [""]
    token = getattr(problem, "token", None)
    at_end = problem.line < 1 or (token is not None and token.type == "$END")
    line = len(lines) if at_end else problem.line
    col = len(lines[-1]) if at_end else problem.column - 1
    found = "" if at_end else str(token or lines[line - 1][col : col + 1])
    expected = sorted(getattr(problem, "expected", None) or getattr(problem, "allowed", None) or ())
    return error(
        "TD0701",
        Span(file, line, col, line, col + max(1, len(found))),
        found=f"'{found}'" if found else "the end of the text",
        expected=", ".join(map(_spelling, expected)),
    )


def _spelling(terminal: str) -> str:
    if terminal in ("$END", "<END-OF-FILE>"):  # of the parser, of the lexer
        return "the end of the text"
    pattern = _lark().get_terminal(terminal).pattern
    return f"'{pattern.value}'" if isinstance(pattern, PatternStr) else terminal.lower().replace("_", " ")


def _remember(text: str, file: str) -> None:
    """Lets errors quote a text that is in no file."""
    if not Path(file).exists():
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
