"""Differences of two texts: complete, in order, and with the words that differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiledsl.viewer.differences import difference

WORDS = ["for k in 8 {", "  copy A -> B", "  copy A@1 -> B", "}", "barrier", "x = 1"]
LINES = st.lists(st.sampled_from(WORDS), max_size=12)


@given(LINES, LINES)
def test_every_line_of_both_sides_occurs_once_in_order(old: list[str], new: list[str]) -> None:
    rows = difference(old, new)
    assert [r.old for r in rows if r.old >= 0] == list(range(len(old)))
    assert [r.new for r in rows if r.new >= 0] == list(range(len(new)))
    for r in rows:
        assert r.same == (r.pair and old[r.old] == new[r.new])


@given(LINES, LINES)
def test_what_is_not_marked_is_equal(old: list[str], new: list[str]) -> None:
    def unmarked(line: str, marks: tuple[tuple[int, int], ...]) -> str:
        inside = {column for start, end in marks for column in range(start, end)}
        return "".join(c for column, c in enumerate(line) if column not in inside).strip()

    for r in difference(old, new):
        if r.pair and not r.same:
            assert unmarked(old[r.old], r.old_marks) == unmarked(new[r.new], r.new_marks)


def test_an_edited_line_is_paired_with_what_it_was() -> None:
    old = ["for k in 8 pipelined(stages=3) {", "  copy A -> A_shared", "  gemm A_shared, B_shared, C", "}"]
    new = ["async copy A -> A_shared@0", "for k in 8 {", "  gemm A_shared@(k % 3), B_shared@(k % 3), C", "}"]
    rows = {(r.old, r.new) for r in difference(old, new)}
    assert {(2, 2), (3, 3)} <= rows
    edited = next(r for r in difference(old, new) if (r.old, r.new) == (2, 2))
    assert [new[2][a:b] for a, b in edited.new_marks] == ["@(k % 3)", "@(k % 3)"]
    assert edited.old_marks == ()


def test_equal_texts_have_no_changes() -> None:
    assert all(r.same for r in difference(["a", "b"], ["a", "b"]))
