"""Every word of the language has an example in its docstring, every example can be traced, and errors have names."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from word_examples import trace_example

import tiledsl.language as T
from tiledsl.catalogue import CATALOGUE
from tiledsl.errors import TileError
from tiledsl.frontend.proxies import TypeWord

WORDS = [name for name in T.__all__ if not isinstance(getattr(T, name), TypeWord)]


def spans_of(doc: str) -> list[str]:
    """What stands in backquotes."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", doc)]


def examples_of(word: str, doc: str) -> list[str]:
    """What does more with the word than to name it."""
    return [s for s in spans_of(doc) if re.search(rf"\bT\.{word}\b", s) and not re.fullmatch(r"[\w.]+", s)]


def calls_of(doc: str) -> list[str]:
    """What calls any word."""
    return [s for s in spans_of(doc) if re.search(r"\bT\.\w+[(\[]", s)]


def problems(word: str, doc: str) -> list[str]:
    """What is wrong with the code in a docstring."""
    found = [] if examples_of(word, doc) else [f"T.{word} has no example"]
    for example in dict.fromkeys([*examples_of(word, doc), *calls_of(doc)]):
        try:
            trace_example(word, example)
        except (TileError, SyntaxError, NameError, AttributeError, TypeError) as problem:
            found.append(f"{example}: {problem}")
    return found


@pytest.mark.parametrize("word", WORDS)
def test_examples_can_be_traced(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # T.plot_layout writes a file
    assert problems(word, inspect.getdoc(getattr(T, word)) or "") == []


@pytest.mark.parametrize(
    ("word", "doc", "wrong"),
    [
        ("copy", "Copies a tile, as `T.fill(C_local, 0)` fills one.", "T.copy has no example"),
        ("copy", "`T.copy` copies a tile.", "T.copy has no example"),
        ("copy", "Copies a tile: `T.copy(A[by * 64, k * 32])`.", "TypeError"),
        ("copy", "Copies a tile: `T.copy(A[by * 64, k * 32], A_shared, width=4)`.", "TypeError"),
        ("copy", "Copies a tile: `T.copy(A_shared, B_shared)`.", "TD0213"),
        ("copy", "Copies a tile: `T.copy(src, dst)`.", "NameError"),
        ("copy", "Copies: `T.copy(A[by * 64, k * 32], A_shared)`, or `T.copied(A_shared)`.", "TD0102"),
        ("shfl", "As T.shfl_up: `y = T.shfl(x, 0)`; `T.shfl(x, 0, width=5)`.", "TD0226"),
        ("serial", "A loop: `for k in T.serial(n)`.", "expected ':'"),
        ("Tensor", "A tensor: `A: T.Tensor((M, K), T.float17)`.", "TD0102"),
        ("macro", "Decorates: `@T.macro(x)`.", "name 'x' is not defined"),
    ],
)
def test_wrong_examples_are_found(word: str, doc: str, wrong: str) -> None:
    found = problems(word, doc)
    assert len(found) == 1 and wrong in found[0], found


# ------------------------------------------------------------------------------------------------------------ errors


def codes_in(doc: str) -> set[str]:
    """The codes that a docstring names; "TD0215 to TD0217" are three."""
    found = set(re.findall(r"TD\d{4}", doc))
    for first, last in re.findall(r"TD(\d{4}) to TD(\d{4})", doc):
        found |= {f"TD{n:04}" for n in range(int(first), int(last) + 1)}
    return found


def unnamed(source: str, doc: str) -> set[str]:
    """The codes that a word raises in its own source, and that its docstring does not name."""
    return set(re.findall(r'\b(?:fail|error)\(\s*"(TD\d{4})"', source)) - codes_in(doc)


@pytest.mark.parametrize("word", WORDS)
def test_errors_are_named(word: str) -> None:
    found = getattr(T, word)
    doc = inspect.getdoc(found) or ""
    assert codes_in(doc) <= CATALOGUE.keys()
    source = inspect.getsource(found if inspect.isroutine(found) or inspect.isclass(found) else type(found))
    assert unnamed(source, doc) == set()


def test_unnamed_errors_are_found() -> None:
    source = 'raise fail("TD0226", word=word)\nraise error(\n    "TD0216", span)\nraise fail("TD0105" if x else code)'
    assert unnamed(source, "Raises TileError TD0226.") == {"TD0216", "TD0105"}
    assert unnamed(source, "Raises TileError TD0105, TD0215 to TD0217, TD0226.") == set()
