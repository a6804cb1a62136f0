"""docs/rows.md: the page is that of its facts, and these are of the rows that there are; `--full` measures anew."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cases import EXAMPLES, all_rows

from tiledsl.testing.row import check_on_cpu
from tiledsl.tools.rows_document import document, problems
from tiledsl.tools.rows_facts import Facts, compile_timed, read, with_gpu_times, write

DOCS = EXAMPLES.parent / "docs"
FACTS = read(DOCS / "rows")
ROWS = all_rows()
BY_NAME = {row.name: row for rows in ROWS.values() for row in rows}


def test_the_page_is_that_of_the_facts() -> None:
    assert (DOCS / "rows.md").read_text() == document(FACTS), "run: python -m tiledsl.tools.rows_document"


def test_the_facts_are_of_the_rows() -> None:
    assert problems(ROWS, FACTS) == [], "run: python -m tiledsl.tools.rows_document --measure ROW"


def test_names_of_rows_and_cases_are_unique() -> None:
    rows = [row for some in ROWS.values() for row in some]
    names = [row.name for row in rows] + [case.name for row in rows for case in row.reduced]
    assert len({*names}) == len(names)
    assert not {case.name for row in rows for case in row.timed} & {*names}


def altered(change: Callable[[Facts], Facts]) -> dict[str, dict[str, Facts]]:
    return {**FACTS, "gemm": {**FACTS["gemm"], "example_gemm": change(FACTS["gemm"]["example_gemm"])}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: replace(f, computes="nothing"), "says something else"),
        (lambda f: replace(f, tilelang=(1.0, 1.0)), "says something else"),
        (lambda f: replace(f, compiled=f.compiled[:1]), "other kernels or targets"),
        (lambda f: replace(f, checked=replace(f.checked, cases={"sm_80": 1})), "another number of cases"),
        (lambda f: replace(f, checked=replace(f.checked, wrong="differs")), "differs"),
        (lambda f: replace(f, checked=replace(f.checked, finding="a race")), "a race"),
        (lambda f: replace(f, compiled=(replace(f.compiled[0], spill_bytes=4), *f.compiled[1:])), "spills"),
        (lambda f: replace(f, compiled=(*f.compiled[:1], replace(f.compiled[1], conflicts=8))), "conflicts"),
    ],
)
def test_facts_that_are_not_of_the_row_are_noticed(change: Callable[[Facts], Facts], said: str) -> None:
    (found,) = problems(ROWS, altered(change))
    assert said in found and "example_gemm" in found


def test_missing_and_surplus_rows_are_noticed() -> None:
    less = {**FACTS, "gemm": {n: f for n, f in FACTS["gemm"].items() if n != "example_gemm"}}
    assert problems(ROWS, less) == ["gemm/example_gemm is not measured"]
    more = {**FACTS, "gemm": {**FACTS["gemm"], "example_none": FACTS["gemm"]["example_gemm"]}}
    assert problems(ROWS, more) == ["gemm/example_none is no row"]


def test_a_time_of_a_gpu_is_on_the_page_and_kept(tmp_path: Path) -> None:
    results = {"device": "a GPU", "date": "2026-01-01", "milliseconds": {"example_gemm": 0.25, "unknown": 1.0}}
    timed = with_gpu_times(FACTS["gemm"], results)
    write(tmp_path, "gemm", timed)
    assert read(tmp_path)["gemm"] == timed
    assert "| 0.2500 (a GPU) |" in document({"gemm": timed})


def test_a_row_is_a_program() -> None:
    program = EXAMPLES / "gemm" / "example_gemm.py"
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert shown[0].startswith("example_gemm: C = A B") and shown[-1].startswith("  time: ")
    assert len([line for line in shown if line.startswith("  right: ")]) == 4


def test_a_wrong_reference_is_noticed() -> None:
    row = BY_NAME["example_gemm"]
    wrong = replace(row.reduced[0], reference=lambda A, B: {"C": A[:, :1] * 0 + B[:1] * 0})
    with pytest.raises(AssertionError, match="differs"):
        replace(row, reduced=(wrong,)).check()


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_kernels_at_the_full_shape_are_what_the_page_says(name: str) -> None:
    """Times aside; registers of another NVRTC may differ, spills and conflicts may not."""
    row = BY_NAME[name]
    told = next(rows[name] for rows in FACTS.values() if name in rows)
    made = [compile_timed(case, target) for case, target in row.programs()]
    assert [(c.case, c.target, c.spill_bytes, c.conflicts) for c in made] == [
        (c.case, c.target, c.spill_bytes, c.conflicts) for c in told.compiled
    ]


@pytest.mark.slow
@pytest.mark.cxx
@pytest.mark.parametrize("name", BY_NAME)
def test_rows_are_right_at_the_full_shape(name: str) -> None:
    """As emitted C++, for the newest target of the row."""
    row = BY_NAME[name]
    for case in row.timed_on(row.targets()[-1]):
        check_on_cpu(case, row.targets()[-1], ("cpu",))
