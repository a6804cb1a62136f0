"""Text of three languages as coloured HTML: our IR, CUDA, Python. Needs pygments, the only module that does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from html import escape
from itertools import pairwise

from pygments.lexer import Lexer, RegexLexer, words
from pygments.lexers.c_cpp import CppLexer
from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Token, Whitespace

from tiledsl.ir.dtypes import DTYPES
from tiledsl.ir.names import KEYWORDS
from tiledsl.ir.nodes import Space
from tiledsl.viewer.differences import Range

Piece = tuple[str, str]  # colour class or "", text

_TILE = tuple(
    "copy fill gemm reduce scan atomic transpose im2col parallel atom move print assert assume".split()  # noqa: SIM905
)
_SYNCHRONISATION = ("barrier", "async_commit", "async_wait", "async")
_SPACES = [s.value for s in Space]
_PLAIN = sorted(KEYWORDS - {*_TILE, *_SYNCHRONISATION, *DTYPES} - {*_SPACES})


class IRLexer(RegexLexer):
    """The text form of the IR: what docs/ir.md describes."""

    name = "tiledsl IR"
    aliases = ("tiledsl",)
    filenames = ("*.tir",)
    tokens = {  # noqa: RUF012  (pygments' own interface)
        "root": [
            (r"\s+", Whitespace),
            (r'"(\\.|[^"\\])*"', String),
            (words(_SYNCHRONISATION, prefix=r"\b", suffix=r"\b"), Keyword.Reserved),
            (words(_TILE, prefix=r"\b", suffix=r"\b"), Name.Function),
            (words(sorted(DTYPES, key=len, reverse=True), prefix=r"\b", suffix=r"\b"), Keyword.Type),
            (words(_SPACES, prefix=r"\b", suffix=r"\b"), Keyword.Type),
            (words(_PLAIN, prefix=r"\b", suffix=r"\b"), Keyword),
            (r"@\d+|@(?=\()", Name.Decorator),
            (r"\b\d+(\.\d+)?([eE][+-]?\d+)?\b", Number),
            (r"[A-Za-z_]\w*", Name),
            (r"->|//|<<|>>|[-+*/%<>=!&|^~]+", Operator),
            (r"[\[\](){},:@.]", Punctuation),
            (r".", Token),
        ]
    }


# What the style sheet knows; a token type has the class of its nearest ancestor here.
CLASSES = {
    Comment.Preproc: "p",
    Comment: "c",
    Keyword.Type: "t",
    Keyword.Reserved: "y",
    Keyword.Constant: "m",
    Keyword: "k",
    Name.Decorator: "d",
    Name.Function: "f",
    Name.Builtin: "t",
    Number: "m",
    String: "s",
    Operator.Word: "k",
    Operator: "o",
}
LEXERS: dict[str, Callable[[], Lexer]] = {
    "ir": lambda: IRLexer(stripnl=False),
    "cuda": lambda: CppLexer(stripnl=False),
    "python": lambda: PythonLexer(stripnl=False),
}


def coloured(lines: Sequence[str], language: str) -> list[list[Piece]]:
    """The pieces of each line, in as many lines as there are."""
    out: list[list[Piece]] = [[]]
    for kind, text in LEXERS[language]().get_tokens("\n".join(lines)):
        for n, part in enumerate(text.split("\n")):
            if n:
                out.append([])
            if part:
                out[-1].append((_class(kind), part))
    return out[: len(lines)]


@cache
def _class(kind: object) -> str:
    while kind is not Token and kind is not None:
        if kind in CLASSES:
            return CLASSES[kind]
        kind = getattr(kind, "parent", None)
    return ""


def html(pieces: Iterable[Piece], marks: Sequence[Range] = ()) -> str:
    """`pieces` as HTML; the columns in `marks` are inside of <mark>."""
    out: list[str] = []
    column = 0
    for style, text in pieces:
        for part, marked in _cut(text, column, marks):
            inner = f"<i class={style}>{escape(part, quote=False)}</i>" if style else escape(part, quote=False)
            out.append(f"<mark>{inner}</mark>" if marked else inner)
        column += len(text)
    return "".join(out).replace("</mark><mark>", "")


def _cut(text: str, column: int, marks: Sequence[Range]) -> list[tuple[str, bool]]:
    """`text`, which begins at `column`, in parts that are wholly marked or not."""
    edges = {column, column + len(text)}
    edges |= {e for mark in marks for e in mark if column < e < column + len(text)}
    ordered = sorted(edges)
    return [(text[a - column : b - column], any(s <= a and b <= e for s, e in marks)) for a, b in pairwise(ordered)]
