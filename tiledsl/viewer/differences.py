"""What a pass changed in the text: lines paired with those they replace, and the words that differ in a pair."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

Range = tuple[int, int]


@dataclass(frozen=True)
class Row:
    """`old` and `new` are line numbers from 0, -1 where there is none: an added or removed line.

    `same` lines have equal text; the marks are ranges of columns that differ in a pair that is not.
    """

    old: int
    new: int
    same: bool = False
    old_marks: tuple[Range, ...] = ()
    new_marks: tuple[Range, ...] = ()

    @property
    def pair(self) -> bool:
        return min(self.old, self.new) >= 0


ALIKE = 0.5  # a pair of lines is one that was edited if so much of them agrees


def difference(old: Sequence[str], new: Sequence[str]) -> tuple[Row, ...]:
    """Every line of both, in order: each number of either side occurs once."""
    rows: list[Row] = []
    for tag, i, i_end, j, j_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            rows += [Row(i + n, j + n, True) for n in range(i_end - i)]
        else:
            rows += _changed(old, new, (i, i_end), (j, j_end))
    return tuple(rows)


def _changed(old: Sequence[str], new: Sequence[str], left: Range, right: Range) -> list[Row]:
    """Each new line with the next old one that it resembles; what is left over is removed or added."""
    rows: list[Row] = []
    at = left[0]
    for j in range(*right):
        found = next((i for i in range(at, left[1]) if _alike(old[i], new[j])), None)
        if found is None:
            rows.append(Row(-1, j))
            continue
        rows += [Row(i, -1) for i in range(at, found)]
        rows.append(Row(found, j, False, *_marks(old[found], new[j])))
        at = found + 1
    return rows + [Row(i, -1) for i in range(at, left[1])]


def _alike(a: str, b: str) -> bool:
    words = SequenceMatcher(None, _words(a), _words(b), autojunk=False)
    return words.real_quick_ratio() >= ALIKE and words.quick_ratio() >= ALIKE and words.ratio() >= ALIKE


def _words(line: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", line)


def _marks(a: str, b: str) -> tuple[tuple[Range, ...], tuple[Range, ...]]:
    """Column ranges of the words that differ; another indentation alone is no mark."""
    old, new = _words(a), _words(b)
    indents = [len(line) - len(line.lstrip()) for line in (a, b)]
    ends = [_ends(old), _ends(new)]
    left: list[Range] = []
    right: list[Range] = []
    for tag, i, i_end, j, j_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            left.append((max(ends[0][i], indents[0]), ends[0][i_end]))
            right.append((max(ends[1][j], indents[1]), ends[1][j_end]))
    return tuple(r for r in left if r[0] < r[1]), tuple(r for r in right if r[0] < r[1])


def _ends(words: list[str]) -> list[int]:
    """The column where each word begins, and the end of the last."""
    out = [0]
    for word in words:
        out.append(out[-1] + len(word))
    return out
