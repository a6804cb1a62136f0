"""Where a function's text is, and which place of the user's text is running.

Rewritten functions keep the file, lines and columns of their source, so the interpreter's own position tables
(`co_positions`, PEP 657) give every statement and every error its exact range, in helper functions as well.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any

from tiledsl.errors import NOWHERE, Span, TileError, error

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# Frames of these rooms stand between the user's line and the tracer; everything else is the user's.
_OURS = tuple(os.path.join(_PACKAGE, room) + os.sep for room in ("frontend", "language", "compat"))

_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep

Positions = list[tuple[int | None, int | None, int | None, int | None]]


def function_ast(fn: FunctionType) -> ast.FunctionDef:
    """The definition of `fn`, with the line and column numbers of its file.

    Raises TileError TD0101 where the source cannot be read (a prompt, `exec`), TD0123 for a generator or coroutine.
    """
    first = fn.__code__.co_firstlineno
    tree = _parsed(_block(linecache.getlines(fn.__code__.co_filename, fn.__globals__), first), first)
    if tree is None:
        try:
            lines, first = inspect.getsourcelines(fn)
        except (OSError, TypeError):
            raise fail("TD0101", name=fn.__name__) from None
        tree = _parsed(lines, first)
    # A lambda, or a definition within a larger expression, is no statement.
    if not isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)) or tree.name != fn.__code__.co_name:
        raise fail("TD0101", name=fn.__name__)
    if isinstance(tree, ast.AsyncFunctionDef) or inspect.isgeneratorfunction(fn):
        raise error("TD0123", span_of_code(fn.__code__), name=fn.__name__)
    return tree


def _block(lines: list[str], first: int) -> list[str]:
    """The lines of a definition, by their indentation: ten times as fast as `inspect`, which splits them into tokens.

    Where a string or an expression continues at the margin the text is cut short and does not parse.
    """
    rest = lines[first - 1 :]
    margin = len(rest[0]) - len(rest[0].lstrip()) if rest else 0
    in_body = False
    for i, line in enumerate(rest):
        text = line.lstrip()
        if text and text[0] not in "#)]}\n" and len(line) - len(text) <= margin:
            if in_body:
                return rest[:i]
            in_body = text.startswith(("def ", "async "))
    return rest


def _parsed(lines: list[str], first: int) -> ast.stmt | None:
    """The first statement of the lines, numbered from `first`; None if they do not parse."""
    if not lines:
        return None
    # An indented function is wrapped in `if` rather than dedented: columns and strings over lines stay as they are.
    indented = lines[0][:1].isspace()
    before = "\n" * (first - 2) + "if 1:\n" if indented else "\n" * (first - 1)
    try:
        statement = ast.parse(before + "".join(lines)).body[0]
    except SyntaxError:
        return None
    return statement.body[0] if indented and isinstance(statement, ast.If) else statement


def span_of_code(code: CodeType) -> Span:
    """The first line of a function."""
    return Span(code.co_filename, code.co_firstlineno, 0, code.co_firstlineno, 0)


def span_of_node(file: str, node: ast.expr | ast.stmt) -> Span:
    """The range of a syntax-tree node in `file`."""
    return Span(file, node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0)


def span_at(code: CodeType, lasti: int, known: dict[int, Positions] | None = None) -> Span:
    """The range of the instruction at byte offset `lasti`. `known` keeps decoded tables by the identity of the code."""
    table = known.get(id(code)) if known is not None else None
    if table is None:
        table = list(code.co_positions())
        if known is not None:
            known[id(code)] = table
    line, end_line, col, end_col = table[lasti // 2]
    if line is None:
        return span_of_code(code)
    return Span(code.co_filename, line, col or 0, end_line or line, end_col or 0)


def is_ours(code: CodeType) -> bool:
    """Whether `code` belongs to the front of the compiler rather than to the user."""
    return code.co_filename.startswith(_OURS)


def is_library(code: CodeType) -> bool:
    """Whether `code` belongs to Python's standard library, which the user did not write either."""
    file = code.co_filename
    return file.startswith(("<frozen", _LIBRARY)) and "site-packages" not in file


def is_package(code: CodeType) -> bool:
    """Whether `code` belongs to any room of tiledsl."""
    return code.co_filename.startswith(_PACKAGE)


def user_frame() -> FrameType | None:
    """The innermost running frame of the user."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (is_ours(frame.f_code) or is_library(frame.f_code)):
        frame = frame.f_back
    return frame


def here(known: dict[int, Positions] | None = None) -> Span:
    """The place in the user's text that is being executed."""
    frame = user_frame()
    return span_at(frame.f_code, frame.f_lasti, known) if frame is not None else NOWHERE


def fail(code: str, **facts: object) -> TileError:
    """`errors.error` at the place that is being executed."""
    return error(code, here(), (), **facts)


def by_python(fn: Callable[..., Any], *args: Any) -> Any:
    """`fn(*args)` on behalf of the user's code: what Python raises is a TileError TD0116 at the user's place."""
    try:
        return fn(*args)
    except TileError:
        raise
    except Exception as problem:  # it comes from the user's own objects
        raise fail("TD0116", problem=f"{type(problem).__name__}: {problem}") from problem


def user_places(traceback: TracebackType | None) -> Iterator[Span]:
    """The user's places on a traceback, outermost first; the tracer's own frames are left out."""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not is_package(code) and not is_library(code):
            yield span_at(code, traceback.tb_lasti)
        traceback = traceback.tb_next


def innermost_code(traceback: TracebackType | None) -> CodeType | None:
    """The code in which an exception was raised."""
    code = None
    while traceback is not None:
        code, traceback = traceback.tb_frame.f_code, traceback.tb_next
    return code


def defining_scope(fn: FunctionType) -> dict[str, Any]:
    """The names that the text of `fn` can see besides its globals.

    Python captures no names that occur only in string annotations, so while the function that defines `fn` is still
    running (at decoration), those of its locals that the text names are added.
    """
    scope: dict[str, Any] = {}
    lines = linecache.getlines(fn.__code__.co_filename, fn.__globals__)
    named = set(re.findall(r"[^\W\d]\w*", "".join(_block(lines, fn.__code__.co_firstlineno))))
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if fn.__code__ in frame.f_code.co_consts and frame.f_code.co_name != "<module>":
            scope.update((name, value) for name, value in frame.f_locals.items() if name in named)
            break
        frame = frame.f_back
    scope.update(closure_of(fn))
    return scope


def closure_of(fn: Callable[..., Any]) -> Mapping[str, Any]:
    """Names and values of the closure; cells that are still empty are left out."""
    assert isinstance(fn, FunctionType)
    found: dict[str, Any] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or ()):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # an empty cell: the name is assigned after the function is defined
            continue
    return found
