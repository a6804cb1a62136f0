"""A bug planted behind each pass, and in the emitter, is found, and that pass is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from planted import BUGS, Change, traced

from tiledsl.codegen.cuda import emit
from tiledsl.codegen.source import Source
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.verify import verify
from tiledsl.passes.base import Pass
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.target import target_named
from tiledsl.validation.bisect import bisect
from tiledsl.validation.bundle import read_bundle, write_bundle
from tiledsl.validation.compare import Failed
from tiledsl.validation.repro import rerun

SM_80 = target_named("sm_80")
NO_TEXT = Source("", (), ())
QUICK = list(PASSES)[: list(PASSES).index("lower-tiles")]  # of the other passes, the first bug
ROWS = [
    pytest.param(
        *(name, bug),
        id=f"{name}: {bug}",
        marks=() if name in QUICK or bug == next(iter(bugs)) else pytest.mark.slow,
    )
    for name, bugs in BUGS.items()
    for bug in bugs
]


def with_bug(name: str, change: Change) -> tuple[Pass, ...]:
    """The pipeline with a pass that changes what it gives; the result is verified as that of every pass."""

    def planted(p: Pass) -> Pass:
        def run(kernel: Kernel, **options: object) -> Kernel:
            wrong = change(p.run(kernel, **options))
            verify(wrong)
            return wrong

        return replace(p, run=run, ensures=()) if p.name == name else p

    return tuple(map(planted, pipeline(SM_80)))


def said(why: object) -> str:
    """What is found, without names and places: those of text differ from those of a trace."""
    return getattr(why.problem, "code", type(why.problem).__name__) if isinstance(why, Failed) else str(why)


def test_the_table_has_every_pass() -> None:
    assert list(BUGS) == list(PASSES)


@pytest.mark.parametrize(("name", "bug"), ROWS)
def test_a_bug_behind_a_pass_is_found_there(name: str, bug: str, tmp_path: Path) -> None:
    found = bisect(traced(), with_bug(name, BUGS[name][bug]))
    assert found is not None
    assert found.what == name
    path = write_bundle(found.bundle("sm_80"), tmp_path)
    again = rerun(read_bundle(path))
    assert type(again.stored) is type(found.why)
    assert again.now is None  # the pass itself is right
    assert said(again.stored) == said(found.why)


@pytest.mark.cxx
@pytest.mark.parametrize("bug", ["a barrier less", "an iteration less", "no C++"])
def test_a_bug_in_the_emitter_is_found_there(bug: str, tmp_path: Path) -> None:
    def wrong(kernel: Kernel) -> Source:
        source = emit(kernel)
        changed = {
            "a barrier less": source.text.replace("tds::barrier();", ";", 1),
            "an iteration less": source.text.replace(" < 5", " < 4", 1),
            "no C++": source.text.replace(";", "", 1),
        }[bug]
        assert changed != source.text
        return replace(source, text=changed)

    found = bisect(traced(), pipeline(SM_80), wrong)
    assert found is not None
    assert found.what == "emit"
    again = rerun(read_bundle(write_bundle(found.bundle("sm_80"), tmp_path)))
    assert again.stored is not None
    assert again.now is None


def test_a_pass_that_raises_is_named(tmp_path: Path) -> None:
    def fails(kernel: Kernel) -> Kernel:
        raise ZeroDivisionError("division by zero")

    found = bisect(traced(), with_bug("unroll", fails))
    assert found is not None
    assert (found.what, found.after) == ("unroll", None)
    assert "ZeroDivisionError: division by zero" in str(found.why)
    again = rerun(read_bundle(write_bundle(found.bundle("sm_80"), tmp_path)))
    assert again.stored is None  # this version's pass does not raise


@pytest.mark.cxx
def test_the_right_pipeline_is_right() -> None:
    seen: list[str] = []
    assert bisect(traced(), pipeline(SM_80), seen=lambda name, found: seen.append(name)) is None
    assert seen == [*PASSES, "emit"]
