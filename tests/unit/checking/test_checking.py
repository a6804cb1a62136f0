"""A check finds what is wrong, in every execution that this machine has, and nothing where nothing is wrong."""

from __future__ import annotations

import json
import sys
from typing import Any

import checked_kernels as kernels
import numpy as np
import pytest
from checked_kernels import N

import tiledsl
from tiledsl import TileError
from tiledsl.checking import Reference, check, schedules
from tiledsl.checking.compare import difference, tolerance_of
from tiledsl.checking.order import order_dependent
from tiledsl.cpu import toolchain

EXECUTIONS = (pytest.param("cpu", marks=pytest.mark.cxx), "numpy")


@pytest.fixture(params=EXECUTIONS)
def execution(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the CPU device, and as on a machine without a compiler."""
    if request.param == "numpy":
        monkeypatch.setattr(toolchain, "find_compiler", lambda: None)
    return str(request.param)


def codes(result: Any) -> list[str]:
    return [f.code for f in result.findings]


# ---- schedules


def test_schedules_are_a_fixed_sequence() -> None:
    table = schedules(30)
    assert table[:7] == schedules(7)
    assert len({(s.mode, s.order) for s in table[:9]}) == 9
    assert len({s.mode for s in table[:3]}) == len({s.order for s in table[:3]}) == 3
    assert all("random" in (s.mode, s.order) for s in table[9:]), "the others are the same in every run"
    assert len(set(table)) == 30
    assert schedules(5, seed=100) != schedules(5)
    assert [str(s) for s in schedules(4, ordered=False)] == ["early", "late", "random, seed 2", "random, seed 3"]


# ---- what is found


def test_nothing_is_found_in_a_right_kernel(execution: str) -> None:
    result = kernels.right.check()
    assert result.ok and result.findings == ()
    assert len(result.schedules) == 10
    assert "the tile stage in NumPy" in result.compared
    assert ("the thread stage in NumPy" in result.compared) == (execution == "cpu")
    assert ("CPU device" if execution == "cpu" else "no C++ compiler was found") in result.execution
    assert f"right for sm_80: no finding in 10 schedules on {result.execution}" in str(result)
    result.raise_if_bad()


@pytest.mark.parametrize(
    "name, code, line",
    [("uncleared", "TD0803", "T.gemm(tile"), ("unwritten", "TD0803", "C[i] = tile"), ("added", "TD0814", "total[0] =")],
)
@pytest.mark.usefixtures("execution")
def test_what_is_wrong_is_found_at_its_line(name: str, code: str, line: str) -> None:
    result = getattr(kernels, name).check(schedules=3)
    assert codes(result)[0] == code, result
    assert line in result.findings[0].span.excerpt()
    with pytest.raises(TileError, match=code) as raised:
        result.raise_if_bad()
    assert raised.value.span == result.findings[0].span


@pytest.mark.cxx
def test_a_race_has_both_lines() -> None:
    """The barrier between the copy into the tile and its readers, deleted from the text."""
    compiled = kernels.right.compile(target="sm_80")
    assert compiled.source.count("  tds::barrier();\n") == 1
    result = compiled.with_source(compiled.source.replace("  tds::barrier();\n", "")).check(schedules=4)
    assert codes(result) == ["TD0804"] or "TD0805" in codes(result), result
    first = result.findings[0]
    excerpts = first.span.excerpt() + first.other_span.excerpt()
    assert "T.copy(A[b" in excerpts and "C[b * N" in excerpts
    assert len(result.found_in[0]) == 4, "whatever the schedule"


@pytest.mark.usefixtures("execution")
def test_the_arguments_stay_as_they_are() -> None:
    a, total = np.ones((4, N), np.float32), np.zeros(1, np.float32)
    result = kernels.atomic.check(a, total, schedules=3)
    assert result.ok, result
    assert total[0] == 0 and (a == 1).all()


@pytest.mark.usefixtures("execution")
def test_printing_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    import tiledsl.language as T

    @tiledsl.kernel
    def speaking(A: T.Tensor((32,), T.int32)):
        with T.Kernel(1, threads=32):
            for i in T.Parallel(32):
                T.print(A[i])

    assert speaking.check(schedules=2).ok
    assert capsys.readouterr().out == ""


# ---- arguments


def test_sizes_and_scalars_by_name() -> None:
    result = kernels.sized.check(m=37, s=2.0, schedules=1)
    assert result.ok and result.inputs == "made inputs (small integers, m=37, s=2.0)"
    assert "m=" in kernels.sized.check(schedules=1).inputs
    with pytest.raises(TileError, match="TD0602: 'sized' got an unexpected argument 'k'"):
        kernels.sized.check(k=1)


def test_constant_style_needs_its_sizes_by_name() -> None:
    assert kernels.constant_style.check(M=33, K=8, rows=8, schedules=1).ok
    assert kernels.constant_style.check(np.ones((33, 8), np.float32), schedules=1).ok


def test_wrong_arguments_are_errors_not_findings() -> None:
    with pytest.raises(TileError, match="TD0607"):
        kernels.right.check(np.ones((N, N), np.float64))
    with pytest.raises(TileError, match="TD0634: schedules must be a number from 1, not 0"):
        kernels.right.check(schedules=0)


def test_a_compiler_that_cannot_be_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find_compiler", lambda: ("no-such-compiler",))
    with pytest.raises(TileError, match="TD0910"):
        kernels.right.check(schedules=1)


# ---- comparisons: an execution that lies is caught


def lying(monkeypatch: pytest.MonkeyPatch, where: str, when: Any) -> None:
    """The execution `where` gives another first element from its run number `when` on."""
    module = sys.modules["tiledsl.checking.check"]  # the function of the package has the name

    honest, count = module.run_once, {"runs": 0}

    def run(lowered: Any, given: Any, backend: Any, **how: Any) -> Any:
        outputs = honest(lowered, given, backend, **how)
        if backend.value == where:
            count["runs"] += 1
            if count["runs"] >= when:
                outputs["C"].flat[0] += 1
        return outputs

    monkeypatch.setattr(module, "run_once", run)


def test_results_that_depend_on_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find_compiler", lambda: None)
    lying(monkeypatch, "simt", 2)
    result = kernels.right.check(schedules=3)
    assert codes(result) == ["TD0890"]
    assert "1 of 4096 elements differ, the first is [0, 0]" in result.findings[0].text
    assert "C[b * N // 2 + i, j] =" in result.findings[0].span.excerpt()
    assert result.found_in == (("late", "random, seed 2"),)


def test_results_that_depend_on_the_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find_compiler", lambda: None)
    lying(monkeypatch, "tile", 1)
    result = kernels.right.check(schedules=2)
    assert codes(result) == ["TD0891"] and result.compared == ()
    assert "the thread stage in NumPy and the tile stage in NumPy" in result.findings[0].text


def test_results_that_are_not_the_references() -> None:

    a = np.ones((N, N), np.float32)
    lowered = kernels.right.compile(target="sm_80").lowered
    good, bad = (check(lowered, (a,), schedules=1, reference=Reference({"C": c})) for c in (a, a + 1))
    assert good.ok and good.compared[-1] == "the reference"
    assert codes(bad) == ["TD0892"] and "4096 of 4096 elements differ" in str(bad)
    with pytest.raises(TileError, match="TD0634: the reference of 'C' must be of shape"):
        check(lowered, (a,), schedules=1, reference=Reference({"C": a[:1]}))


def test_differences() -> None:
    a = np.array([1.0, np.nan, np.inf, -0.0], np.float32)
    assert difference(a, np.array([1.0, np.nan, np.inf, 0.0], np.float32)) is None
    found = difference(a, np.array([1.0, 2.0, -np.inf, 0.0], np.float32))
    assert found is not None and (found.index, found.count, found.size) == ((1,), 2, 4)
    assert difference(a[:1], a[:1] + 1e-6, 1e-5, 0) is None
    assert tolerance_of(np.dtype(np.int32)) == 0 < tolerance_of(np.dtype(np.float64)) < tolerance_of(a.dtype)


def test_what_depends_on_the_order_of_atomic_updates() -> None:
    order = order_dependent(kernels.atomic.compile(target="sm_80").lowered.final)
    assert (order.sums, order.free) == ({"total"}, frozenset())
    assert order_dependent(kernels.added.compile(target="sm_80").lowered.final).sums == frozenset()


@pytest.mark.parametrize("target", ["sm_80", "sm_90a"])
def test_tiles_that_are_added_depend_on_the_order_too(target: str) -> None:
    """By threads, and by the copy engine: each order rounds in its own way."""
    lowered = kernels.added_by_tiles.compile(target=target).lowered
    assert ("tma_reduce_add" in lowered.source.text) == (target == "sm_90a")
    assert order_dependent(lowered.final).sums == {"total"}
    parts = np.random.default_rng(0).standard_normal((4, 8, 64), np.float32)
    assert check(lowered, (parts, np.zeros((8, 64), np.float32)), schedules=6).ok


# ---- as data


@pytest.mark.usefixtures("execution")
def test_json() -> None:
    data = json.loads(kernels.added.check(schedules=2).to_json())
    assert data["kernel"] == "added" and data["ok"] is False and len(data["schedules"]) == 2
    (finding,) = data["findings"]
    assert finding["code"] == "TD0814" and finding["found_in"] == data["schedules"]
    assert finding["place"]["line"] > 0 and finding["place"]["file"].endswith("checked_kernels.py")
