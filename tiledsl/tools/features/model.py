"""A feature of the language: its words, and the tests that hold its meaning and its instruction."""

from __future__ import annotations

from dataclasses import dataclass

VALUES = "unit/language/test_word_values.py::test_values"
INSTRUCTIONS = "unit/language/test_word_values.py::test_instructions"
GOLDEN = "unit/frontend/test_trace_goldens.py::test_meaning"
BUILD = "unit/language/test_concurrent_words.py::test_words_build"


@dataclass(frozen=True)
class Feature:
    """One row of the status in docs/language.md.

    `words` exist: `T.x`, or names below `tiledsl` (`CompiledKernel.ptx`). `missing` are words of T that are an error
    TD0103. `meaning` are tests, from `tests/` on, of what the feature computes; `instruction` of what it becomes on the
    GPU, where it becomes something of its own. What is `outside` of the language has a reason and nothing else.
    """

    name: str
    words: tuple[str, ...] = ()
    meaning: tuple[str, ...] = ()
    instruction: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    outside: str = ""
    lacks: str = ""  # what it does not do yet, where no word says so

    @property
    def status(self) -> str:
        if self.outside:
            return f"out of scope: {self.outside}"
        if self.lacks:
            return f"in part: {self.lacks}"
        if not self.missing:
            return "yes"
        return "no" if not self.meaning else "in part"


@dataclass(frozen=True)
class Section:
    title: str
    features: tuple[Feature, ...]


def words(text: str) -> tuple[str, ...]:
    """Names that are divided by blanks: `T.` stands before those without a dot."""
    return tuple(w if "." in w else f"T.{w}" for w in text.split())


def there(name: str, names: str, meaning: str, instruction: str = "", *, missing: str = "", lacks: str = "") -> Feature:
    """A feature with a meaning. Tests are divided by blanks.

    `v:case` is a case of the values of words, `i:case` of their instructions, `g:case` an executed golden, `b:case` a
    body of the concurrent words.
    """
    return Feature(name, words(names), tests(meaning), tests(instruction), words(missing), lacks=lacks)


def lacking(name: str, missing: str) -> Feature:
    return Feature(name, missing=words(missing))


def outside(name: str, why: str) -> Feature:
    return Feature(name, outside=why)


_SHORT = {"v": f"{VALUES}[{{}}]", "i": f"{INSTRUCTIONS}[{{}}]", "g": f"{GOLDEN}[{{}}]", "b": f"{BUILD}[{{}}-]"}


def tests(text: str) -> tuple[str, ...]:
    """Names of tests from the root of the project on."""
    out = []
    for item in text.split():
        kind, colon, case = item.partition(":")
        out.append("tests/" + (_SHORT[kind].format(case) if colon and kind in _SHORT else item))
    return tuple(out)
