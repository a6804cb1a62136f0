"""The fuzz runner: its table, its bundles, its exit status; what it does when a law fails or its process dies."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tiledsl.ir.nodes import Const, Kernel, Launch, Let, Var
from tiledsl.testing import fuzz
from tiledsl.testing.fuzz import Found, Fuzzer, Tally, main, slice_of, summary
from tiledsl.testing.laws import LAWS, Law
from tiledsl.validation.bundle import read_bundle


def kernel(number: int) -> Kernel:
    launch = Launch("k", (Const(1),), (Var("b"),), (32,), Var("t"), (Let(Var("x"), Const(number)),))
    return Kernel("k", (), (launch,))


@pytest.fixture
def false_law(monkeypatch: pytest.MonkeyPatch) -> Law:
    def small(program: Kernel) -> None:
        assert program.launches[0].body[0].value.value < 50, "too large"  # type: ignore[attr-defined]

    strategy = st.fixed_dictionaries({"program": st.integers(0, 1000).map(kernel)})
    made = Law("numbers_are_small", ("P3",), strategy, small, "here")
    monkeypatch.setitem(LAWS, made.name, made)  # type: ignore[arg-type]
    return made


def test_a_failure_becomes_a_bundle_with_the_command_that_finds_it_again(
    false_law: Law, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = slice_of(false_law.name, 7, 5.0, str(tmp_path))
    assert found.failure == "AssertionError: too large" and "test_fuzz.py" in found.place
    bundle = read_bundle(found.bundle)
    assert bundle.what == false_law.name and "let x = 50" in str(bundle.before)
    assert bundle.facts["seed"] == 7 and "too large" in bundle.message
    words = str(bundle.facts["command"]).split()[3:]
    assert main(words) == 1
    assert "let x = 50" in capsys.readouterr().out


def test_a_law_without_examples_does_not_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    never = st.fixed_dictionaries({"program": st.integers(0, 9).filter(lambda n: n < 0)})
    monkeypatch.setitem(LAWS, "never", Law("never", (), never, lambda program: None, "here"))  # type: ignore[arg-type]
    assert slice_of("never", 7, 0.1, str(tmp_path)).failure == ""
    monkeypatch.setattr(fuzz, "LONG_ENOUGH", 0.1)
    assert slice_of("never", 7, 0.1, str(tmp_path)).failure == "no example in 0 s of seed 7"


def test_laws_that_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--minutes", "0.03", "--laws", "divisibility_holds", "padded_*", "--out", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert status == 0 and not list(tmp_path.iterdir())
    assert lines[0].split() == ["law", "invariants", "examples", "failures", "seconds"]
    rows = {line.split()[0]: line.split() for line in lines[1:]}
    assert rows.keys() == {"divisibility_holds", "padded_offsets_ascend", "all"}
    assert rows["padded_offsets_ascend"][1] == "L24" and int(rows["all"][1]) > 10 and rows["all"][2] == "0"


def test_replay_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--replay", "divisibility_holds", "--seed", "3", "--examples", "5"]) == 0
    assert "holds on 5 examples of seed 3" in capsys.readouterr().out
    assert main(["--list", "--laws", "barriers"]) == 0
    assert "no_race_is_left" in capsys.readouterr().out
    assert main(["--laws", "no such law"]) == 2


def tally(law: Law = LAWS["divisibility_holds"], **more: Any) -> Tally:
    return Tally(law, **more)


def test_time_is_dealt_by_shares(tmp_path: Path) -> None:
    law = LAWS["divisibility_holds"]
    fuzzer = Fuzzer([law, replace(law, name="heavy", share=4.0)], 60, 0, 1, str(tmp_path))
    first, heavy = fuzzer.tallies
    first.seconds, heavy.seconds = 10.0, 30.0
    assert fuzzer.next_law() is heavy
    heavy.seconds = 50.0
    assert fuzzer.next_law() is first
    first.failures = {str(i): Found(0, 1.0, "x") for i in range(fuzz.MOST_FAILURES)}
    assert fuzzer.next_law() is heavy  # the other has failed often enough


def test_a_process_that_dies_is_a_failure_of_its_law(tmp_path: Path) -> None:
    fuzzer = Fuzzer([LAWS["divisibility_holds"]], 60, 0, 1, str(tmp_path))
    future: Future[Found] = Future()
    future.set_exception(BrokenProcessPool("a process died"))
    fuzzer.running[future] = (fuzzer.tallies[0], 1.0, 0.0)
    found_tally, found = fuzzer.finish(future)
    assert found_tally.add(found) and "a process died" in found.failure
    assert not found_tally.add(found)  # the same place again is no news
    assert "a process died" in summary(fuzzer.tallies)
