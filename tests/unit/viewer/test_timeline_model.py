"""A recorded run, arranged in lanes and drawn."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from viewer_cases import hand_made, line_of, lowered

from tiledsl.viewer.drawing import LEFT, MOST_TICKS, WIDTH, drawing_of, ticks
from tiledsl.viewer.timeline import Mark, Timeline, timeline_of, tracks

pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    kernel = lowered("gemm")
    file = kernel.stages[0].kernel.launches[0].span.file
    copied, multiplied = line_of("gemm", "T.copy(A[by"), line_of("gemm", "T.gemm(")
    return timeline_of(hand_made(file, copied, multiplied), kernel, "late")


def test_lanes_are_warps_then_barriers_then_copies_by_buffer(timeline: Timeline) -> None:
    assert [(l.name, l.kind) for l in timeline.lanes] == [
        ("warp 0", "warp"),
        ("warp 1", "warp"),
        ("barriers", "phase"),
        ("A_shared", "copy"),
        ("B_shared", "copy"),
    ]
    assert (timeline.lanes[0].busy, timeline.lanes[0].waiting) == (12, 66)
    assert [len(l.tracks) for l in timeline.lanes] == [1, 1, 1, 2, 1]


def test_marks_know_their_line_and_their_family(timeline: Timeline) -> None:
    (row,) = timeline.lanes[0].tracks
    assert [m.family for m in row] == ["issue", "wait", "wait", "mma"]
    assert row[0].place == f"0:{line_of('gemm', 'T.copy(A[by')}"
    assert row[3].place == f"0:{line_of('gemm', 'T.gemm(')}"
    (unknown,) = timeline.lanes[4].tracks[0]
    assert unknown.place == "" and unknown.needed == -1


def _mark(start: int, length: int) -> Mark:
    return Mark("copy", start, start + length, "", "", "", -1, 0, -1, -1)


@given(st.lists(st.builds(_mark, st.integers(0, 30), st.integers(1, 9)), max_size=20))
def test_tracks_do_not_overlap_and_are_as_few_as_can_be(marks: list[Mark]) -> None:
    rows = tracks(marks)
    assert sorted(m.start for row in rows for m in row) == sorted(m.start for m in marks)
    assert all(a.end <= b.start for row in rows for a, b in pairwise(row))
    assert len(rows) == max((sum(m.start <= t < m.end for m in marks) for t in range(40)), default=0)


@given(st.integers(0, 10**7))
def test_ticks_are_few_and_round(end: int) -> None:
    found = ticks(end)
    assert found[0] == 0 and found[-1] <= end and len(found) <= MOST_TICKS + 1
    if len(found) > 1:
        assert re.fullmatch("[125]0*", str(found[1]))


def test_boxes_stand_in_their_lanes_at_their_times(timeline: Timeline) -> None:
    drawn = drawing_of(timeline)
    assert drawn.x(0) == LEFT and drawn.x(timeline.end) == LEFT + WIDTH
    bottom = 0
    for lane in drawn.lanes:
        assert lane.top >= bottom
        assert all(lane.top <= b.top and b.top + b.height <= lane.top + lane.height for b in lane.boxes)
        assert sum(map(len, lane.lane.tracks)) == len(lane.boxes)
        bottom = lane.top + lane.height
    assert bottom <= drawn.height
