"""A seeded bug: one function of the compiler with one thing in its text replaced, while a law is tried."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any


@dataclass(frozen=True)
class Bug:
    """`where` is "module:qualified.name", both without the leading "tiledsl."; `old` occurs once in that function.

    `caught_by` names a law of tiledsl.testing.laws, or a catcher of `catchers.py`; `examples` of it are tried.
    """

    name: str
    where: str
    old: str
    new: str
    caught_by: str
    examples: int = 50

    @property
    def file(self) -> str:
        return "tiledsl/" + self.where.partition(":")[0].replace(".", "/")


@contextmanager
def seeded(bug: Bug) -> Iterator[None]:
    """The compiler with the bug: the code of the function is exchanged, wherever it was imported."""
    module_name, _, name = bug.where.partition(":")
    module = importlib.import_module(f"tiledsl.{module_name}")
    function = _function(module, name)
    whole = Path(inspect.getsourcefile(function) or "").read_text(encoding="utf-8")
    text = _source(whole, function)
    if text.count(bug.old) != 1:
        raise ValueError(f"{bug.name}: the text to replace occurs {text.count(bug.old)} times in {bug.where}")
    changed = whole.replace(text, text.replace(bug.old, bug.new), 1)
    sane, wrong = function.__code__, _code(compile(changed, str(sane_file(function)), "exec"), function.__qualname__)
    if wrong.co_freevars != sane.co_freevars:
        raise ValueError(f"{bug.name}: {bug.where} closes over other variables")
    function.__code__ = wrong
    try:
        forget()
        yield
    finally:
        function.__code__ = sane
        forget()


def sane_file(function: FunctionType) -> str:
    return inspect.getsourcefile(function) or "?"


def _function(module: Any, name: str) -> FunctionType:
    found: Any = module
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    for attribute in ("run", "__wrapped__", "fget", "__func__", "check"):
        if not isinstance(found, FunctionType) and hasattr(found, attribute):
            found = getattr(found, attribute)
    if not isinstance(found, FunctionType):
        raise TypeError(f"{name} of {module.__name__} is no function")
    return found


def _source(whole: str, function: FunctionType) -> str:
    return "".join(inspect.getblock(whole.splitlines(keepends=True)[function.__code__.co_firstlineno - 1 :]))


def _code(code: CodeType, name: str) -> CodeType:
    """The code object of a qualified name."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_qualname == name:
                return inner
            if name.startswith(f"{inner.co_qualname}."):
                return _code(inner, name)
    raise LookupError(name)


def forget() -> None:
    """Empties every cache of the compiler, which may hold what the other code gave."""
    import sys

    for name, module in list(sys.modules.items()):
        if name.startswith("tiledsl"):
            for value in list(vars(module).values()):
                clear = getattr(value, "cache_clear", None)
                if callable(clear) and getattr(value, "__module__", "").startswith("tiledsl"):
                    clear()
