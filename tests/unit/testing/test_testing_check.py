"""`tiledsl.testing.check`: the forms that it takes, and what it raises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl import TileError
from tiledsl.cpu import toolchain
from tiledsl.testing import Case, Mismatch, check, compare
from tiledsl.testing.case import dissimilarity

N = 64


@tiledsl.kernel(out_idx=-1)
def add(A: T.Tensor((N,), T.float32), B: T.Tensor((N,), T.float32), C: T.Tensor((N,), T.float32)):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            C[i] = A[i] + B[i]


@tiledsl.kernel(out_idx=(1, 2))
def both(A: T.Tensor((N,), T.float32), up: T.Tensor((N,), T.float32), down: T.Tensor((N,), T.float32)):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            up[i] = A[i] + 1.0
            down[i] = A[i] - 1.0


@tiledsl.kernel
def in_place(A: T.Tensor((N,), T.float32), factor=2.0):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(N):
            A[i] = A[i] * factor


@tiledsl.kernel
def copied(A, rows=16):
    M, K = T.const("M, K")
    A: T.Tensor((M, K), T.float32)
    B = T.empty((M, K), T.float32)
    with T.Kernel(T.ceildiv(M, rows), threads=32) as b:
        T.copy(A[b * rows : b * rows + rows, 0:K], B[b * rows, 0])
    return B


@tiledsl.kernel
def summed(A: T.Tensor((4, N), T.float32), total: T.Tensor((1,), T.float32)):
    with T.Kernel(4, threads=64) as b:
        for i in T.Parallel(N):
            if i == 0:
                total[0] = total[0] + A[b, i]


A = np.arange(N, dtype=np.float32)


@pytest.mark.parametrize(
    "inputs",
    [
        {"A": A, "B": A},
        (A, A),
        lambda draw: {"A": draw(N, dtype=np.float32), "B": draw(N, dtype=np.float32)},
        lambda: [A, A],
        None,
    ],
    ids=["by name", "by position", "drawn", "made", "none"],
)
@pytest.mark.parametrize(
    "reference", [lambda A, B: A + B, lambda x, y: {"C": x + y}, None], ids=["name", "dict", "none"]
)
def test_forms_of_inputs_and_reference(inputs: Any, reference: Any) -> None:
    check(add, reference, inputs, backends=("tile", "simt"), schedules=1)


@pytest.mark.cxx
def test_everything_runs_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    module = sys.modules["tiledsl.testing.check"]
    ran: list[str] = []
    honest = module.run_lowered
    monkeypatch.setattr(module, "find_driver", lambda: None)
    monkeypatch.setattr(module, "run_lowered", lambda lo, i, b, **how: ran.append(b) or honest(lo, i, b, **how))
    checked: list[int] = []
    schedules = module.check_schedules
    monkeypatch.setattr(
        module, "check_schedules", lambda *a, **how: checked.append(how["schedules"]) or schedules(*a, **how)
    )
    check(add, lambda A, B: A + B, lambda draw: [draw(N, dtype=np.float32)] * 2)
    assert ran == ["tile", "simt", "cpu"] * 2 and checked == [3]
    monkeypatch.setattr(module, "find_compiler", lambda: None)
    assert module.default_backends() == ("tile", "simt")


def test_results_in_place_static_arguments_and_constant_style() -> None:
    how: dict[str, Any] = {"backends": ("tile", "simt"), "schedules": 1}
    check(both, lambda A: (A + 1, A - 1), {"A": A}, **how)
    check(in_place, lambda A: A * 3, {"A": A}, factor=3.0, **how)
    assert A[1] == 1, "the inputs stay as they are"
    check(in_place.compile(factor=5.0), lambda A: A * 5, (A,), **how)
    check(copied, lambda A: A, np.ones((33, 8), np.float32), rows=8, **how)


def test_a_difference_says_where_and_how_many() -> None:
    with pytest.raises(Mismatch, match=r"'add/tile/C' differs in 63 of 64 elements; first at \[1\]: 2.0 where 0.0 is"):
        check(add, lambda A, B: A - B, (A, A))
    check(add, lambda A, B: A + B + 0.5, (A, A), atol=0.6, backends=("tile",), schedules=0)


def test_findings_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find_compiler", lambda: None)
    values = np.ones((4, N), np.float32), np.zeros(1, np.float32)
    with pytest.raises(TileError, match="TD0814") as raised:
        check(summed, lambda A, total: total + 4, values, backends=("tile", "simt"))
    assert "total[0] =" in str(raised.value)
    with pytest.raises(Mismatch, match="'summed/simt/total' differs"):  # what comes of it
        check(summed, lambda A, total: total + 4, values, backends=("tile", "simt"), schedules=0)


def test_wrong_references_and_kernels() -> None:
    with pytest.raises(
        TileError, match="TD0634: what the reference gives must be an array for each of C, not 2 of them"
    ):
        check(add, lambda A, B: (A, B), (A, A))
    with pytest.raises(TileError, match="TD0602: 'add' got an unexpected argument 'D'"):
        check(add, lambda A, B: {"D": A}, (A, A))
    with pytest.raises(TileError, match="TD0634: kernel must be a kernel or a Case, not function"):
        check(lambda A: A)  # type: ignore[arg-type]
    with pytest.raises(TileError, match="TD0606"):
        check(add, lambda A, B: "nothing", (A, A))


def test_a_case_brings_its_own() -> None:
    case = Case("case", add, lambda draw: {n: draw(N, dtype=np.float32) for n in "AB"}, lambda A, B: {"C": A + B})
    check(case, backends=("tile", "simt"), schedules=1)
    wrong = Case("case", add, case.inputs, lambda A, B: {"C": A * B})
    with pytest.raises(Mismatch, match="'case/tile/C' differs"):
        check(wrong)


def test_results_are_compared_as_a_whole_too() -> None:
    expected = np.array([8.0, 8.0, 8.0, 8.0])
    compare("x", expected + [1, 0, 0, 0], expected, 0.2, 0.0, whole=0.01)
    with pytest.raises(Mismatch, match=r"'x' as a whole differs by 0.0\d+, more than 0.001"):
        compare("x", expected + [1, 1, -1, 1], expected, 0.2, 0.0, whole=0.001)
    with pytest.raises(Mismatch, match="differs by nan"):
        compare("x", expected * np.nan, expected * np.nan, 0.2, 0.0, whole=0.001)
    assert dissimilarity(expected, expected) == 0 == dissimilarity(0 * expected, 0 * expected)
    assert dissimilarity(expected, -expected) == 2


def test_a_case_is_compared_as_a_whole() -> None:
    def nearly(A: Any, B: Any) -> dict[str, Any]:
        return {"C": 1.05 * (A + B)}

    case = Case("case", add, lambda draw: {n: draw(N, dtype=np.float32) for n in "AB"}, nearly, False, 0.1, 0.1)
    check(case, backends=("tile",), schedules=0)
    with pytest.raises(Mismatch, match="as a whole"):
        check(replace(case, whole=1e-4), backends=("tile",), schedules=0)
