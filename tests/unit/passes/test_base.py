"""What a pass is: options, facts, errors with the pass's name, pipelines from text, observers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tiledsl.errors import TileError, VerifyError
from tiledsl.ir.nodes import Kernel, Let, Var
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.passes.base import Pass, kernel_pass, parse_pipeline, run_pipeline
from tiledsl.passes.observers import dump_observer, timing_table
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.target import Target, target_named

SM80 = target_named("sm_80")
KERNEL = parse(
    """
kernel k(A: global float32[32]) {
  launch k(b in 1) threads(t in 32) {
    A[t] = float32(1.0)
  }
}
"""
)


@kernel_pass()
def rename_kernel(kernel: Kernel, *, target: Target, name: str = "other", count: int = 1, loud: bool = False) -> Kernel:
    """Gives the kernel another name."""
    return replace(kernel, name=(name.upper() if loud else name) * count + target.name)


def never(kernel: Kernel) -> None:
    raise VerifyError(f"{kernel.name} is never right")


@kernel_pass()
def break_scopes(kernel: Kernel) -> Kernel:
    """Leaves a use of what is not bound."""
    launch = kernel.launches[0]
    return replace(kernel, launches=(replace(launch, body=(Let(Var("x"), Var("unbound")),)),))


REGISTRY = {p.name: p for p in (rename_kernel, break_scopes)}


def test_a_pass_is_named_after_its_function_and_knows_its_options() -> None:
    assert rename_kernel.name == "rename-kernel"
    assert list(rename_kernel.parameters) == ["target", "name", "count", "loud"]
    assert rename_kernel(KERNEL, target=SM80).name == "othersm_80"


def test_options_are_bound_by_name() -> None:
    assert rename_kernel.bind(SM80, count=2)(KERNEL).name == "otherothersm_80"
    wrong = [
        ({"colour": 1}, "TD0762: .*no option 'colour'"),
        ({"target": "sm_90a"}, "TD0762: .*no option 'target'"),
        ({"count": "2"}, "TD0763: .*is a int, not '2'"),
        ({"count": True}, "TD0763"),
        ({"loud": "yes"}, "TD0763: .*is a bool"),
    ]
    for options, message in wrong:
        with pytest.raises(TileError, match=message):
            rename_kernel.bind(SM80, **options)


def test_pipelines_are_read_from_text() -> None:
    (first, second) = parse_pipeline("rename-kernel{name=x, count=3,loud=true} , rename-kernel", REGISTRY, SM80)
    assert first(KERNEL).name == "XXXsm_80"
    assert second(KERNEL).name == "othersm_80"
    assert str(first) == "rename-kernel{name=x,count=3,loud=true}"
    assert parse_pipeline("", REGISTRY, SM80) == ()


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("rename-kernel{", "TD0760", "cannot read"),
        ("rename-kernel rename-kernel", "TD0760", "cannot read"),
        ("nothing", "TD0761", "rename-kernel, break-scopes"),
        ("rename-kernel{colour=1}", "TD0762", "name, count, loud"),
        ("rename-kernel{target=sm_90a}", "TD0762", "name, count, loud"),
        ("rename-kernel{count=many}", "TD0763", "is a int, not 'many'"),
        ("rename-kernel{loud=1}", "TD0763", "is a bool, not '1'"),
    ],
)
def test_bad_pipelines_are_user_errors(source: str, code: str, words: str) -> None:
    with pytest.raises(TileError, match=words) as raised:
        parse_pipeline(source, REGISTRY, SM80)
    assert raised.value.code == code


def test_facts_are_checked_before_and_after() -> None:
    for p in (replace(rename_kernel, requires=(never,)), replace(rename_kernel, ensures=(never,))):
        with pytest.raises(VerifyError, match="never right"):
            p.bind(SM80)(KERNEL)


def test_a_failure_names_the_pass_and_shows_the_kernel_before_it() -> None:
    with pytest.raises(VerifyError) as raised:
        run_pipeline(KERNEL, [break_scopes])
    assert "in pass 'break-scopes'" in str(raised.value)
    assert text(KERNEL) in str(raised.value)


def test_the_observer_sees_every_pass() -> None:
    seen: list[tuple[str, str, str, bool]] = []

    def observe(p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        seen.append((p.name, before.name, after.name, seconds > 0))

    passes = parse_pipeline("rename-kernel{name=a},rename-kernel{name=b}", REGISTRY, SM80)
    assert run_pipeline(KERNEL, passes, observe).name == "bsm_80"
    assert seen == [("rename-kernel", "k", "asm_80", True), ("rename-kernel", "asm_80", "bsm_80", True)]


@pytest.mark.parametrize(
    ("wanted", "files"),
    [
        ("all", ["00-input.tir", "01-rename-kernel.tir", "02-remove-dead.tir"]),
        ("remove-dead", ["02-remove-dead.tir"]),
        ("input, rename-kernel", ["00-input.tir", "01-rename-kernel.tir"]),
    ],
)
def test_dumps_are_numbered_and_parse(tmp_path: Path, wanted: str, files: list[str]) -> None:
    passes = [rename_kernel.bind(SM80), PASSES["remove-dead"]]
    run_pipeline(KERNEL, passes, dump_observer(wanted, tmp_path / "dump", KERNEL, [p.name for p in passes]))
    found = sorted((tmp_path / "dump").iterdir())
    assert [f.name for f in found] == files
    for f in found:
        parse(f.read_text(), f.name)


def test_the_table_of_times_adds_up() -> None:
    assert timing_table([("a-pass", 0.001), ("b", 0.25)]).splitlines() == [
        "a-pass      1.00 ms",
        "b         250.00 ms",
        "total     251.00 ms",
    ]


def test_the_pipeline_is_the_order_of_the_architecture_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
    section = page.split("## The passes, in order")[1].split("##")[0]
    named = [word.strip("`") for word in section.replace("\n", " ").replace(".", "").split() if word.startswith("`")]
    listed = [n.rstrip("`,") for n in named if n.rstrip("`,") in PASSES]
    assert listed == list(PASSES) == [p.name for p in pipeline(SM80)]


def test_options_of_the_pipeline() -> None:
    with pytest.raises(TileError, match="there is no pass 'nothing'"):
        pipeline(SM80, {"nothing": {}})
    with pytest.raises(TileError, match="no option 'colour'"):
        pipeline(SM80, {"vectorise": {"colour": 1}})
    with pytest.raises(TileError, match=r"'form' of pass 'software-pipeline' is one of .*peeled"):
        pipeline(SM80, {"software-pipeline": {"form": "round"}})
    pipeline(SM80, {"software-pipeline": {"form": "peeled", "fuse_barrier": False}})
