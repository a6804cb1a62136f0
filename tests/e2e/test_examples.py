"""Every example kernel: tile stage == after every pass == emitted C++ on the CPU device == NumPy."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cases import cases_by_name, executed, row_cases, variants_with_rows

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.compile import Lowered, Stage
from tiledsl.cpu import interp, tile_interp
from tiledsl.errors import TileError
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same
from tiledsl.testing import Case, compare
from tiledsl.testing.case import Draw

CASES = cases_by_name()
FIRST_THREAD_STAGE = "lower-tiles"
every_variant = pytest.mark.parametrize("variant", variants_with_rows())
# Like others in a table of types, orders or forms: what each pass makes of them is looked at with --full.
ALIKE = re.compile(
    r"gemm-hopper-((bfloat16|e5m2|e4m3-e5m2)-..|(tf32|int8|e4m3)-TT)|gemm-warp-specialized-.*-128x128x192"
    r"|gemm-grouped-.*one|block-sparse-.*-1-names-.*|gemm-float32-(NN|NT|TN)|gemm-float64-(NT|TN)|mla-decode-d256-.*"
    r"|gemm-producers-(words|dynamic|turned|dequantised-consumer)-.*|attention-backward-d128-causal-.*"
    r"|attention-hopper-(packed-d128|d64-causal-window-.*|(d128|d256)-causal-.*|d64-block_M-.*)"
)
every_stage = pytest.mark.parametrize("variant", variants_with_rows(ALIKE.fullmatch, rows=False))


def thread_stages(lowered: Lowered) -> list[Stage]:
    names = [s.name for s in lowered.stages]
    return list(lowered.stages[names.index(FIRST_THREAD_STAGE) :])


def tile_stages(lowered: Lowered) -> list[Stage]:
    names = [s.name for s in lowered.stages]
    return list(lowered.stages[: names.index(FIRST_THREAD_STAGE)])


def agree(case: Case, where: str, actual: dict[str, Any], expected: Any, exact: bool) -> None:
    rtol, atol = (0.0, 0.0) if exact and case.exact else (case.rtol, case.atol)
    for name, value in expected.items():
        compare(f"{where}/{name}", actual[name], value, rtol, atol, case.whole)


@every_stage
def test_text_round_trip_and_verify_at_every_stage(variant: tuple[str, str]) -> None:
    for stage in CASES[variant[0]].compiled(variant[1]).lowered.stages:
        verify(stage.kernel)
        printed = text(stage.kernel)
        again = parse(printed)
        assert same(again, stage.kernel), stage.name
        assert text(again) == printed, stage.name


@every_stage
def test_every_stage_computes_the_reference(variant: tuple[str, str]) -> None:
    """Exact inputs at every stage: bit for bit where the kernel's arithmetic is exact."""
    case = CASES[variant[0]]
    lowered = case.compiled(variant[1]).lowered
    inputs = dict(case.inputs(Draw(1, exact=True)))
    expected = case.reference(**inputs)
    for stage in tile_stages(lowered):
        actual = executed(lowered, inputs, lambda _, a, k=stage.kernel: tile_interp.run(k, a, mode="late"))
        agree(case, stage.name, actual, expected, exact=True)
    seen = None
    for stage in thread_stages(lowered):
        if stage.kernel is seen:
            continue
        seen = stage.kernel
        # Barriers come late in the pipeline, so races mean something only from then on.
        actual = executed(lowered, inputs, lambda _, a, k=seen: interp.run(k, a, check=False, mode="early"))
        agree(case, stage.name, actual, expected, exact=True)
    for mode in ("early", "late"):
        actual = executed(lowered, inputs, lambda _, a, m=mode: interp.run(lowered.final, a, check=True, mode=m))
        agree(case, f"final, checked, {mode}", actual, expected, exact=True)


@every_variant
@pytest.mark.cxx
def test_emitted_cuda_on_the_cpu(variant: tuple[str, str]) -> None:
    case = CASES[variant[0]]
    lowered = case.compiled(variant[1]).lowered
    for exact in (True, False):
        inputs = dict(case.inputs(Draw(2, exact)))
        expected = case.reference(**inputs)
        for mode in ("early", "late", "random"):
            actual = executed(lowered, inputs, lambda b, _, m=mode: run_on_cpu(lowered, b, Backend.CPU, mode=m))
            agree(case, f"emitted C++, {mode}", actual, expected, exact)


@every_variant
def test_random_inputs_within_tolerance(variant: tuple[str, str]) -> None:
    case = CASES[variant[0]]
    lowered = case.compiled(variant[1]).lowered
    inputs = dict(case.inputs(Draw(3, exact=False)))
    expected = case.reference(**inputs)
    actual = executed(lowered, inputs, lambda _, a: tile_interp.run(lowered.stages[0].kernel, a))
    agree(case, "tile stage", actual, expected, exact=False)
    actual = executed(lowered, inputs, lambda _, a: interp.run(lowered.final, a, check=False))
    agree(case, "thread stage", actual, expected, exact=False)


def _slow(name: str) -> list[pytest.MarkDecorator]:
    """tests/e2e/test_rows.py compiles the rows at their full shapes."""
    return [pytest.mark.slow] if name in row_cases() else []


@pytest.mark.parametrize(
    ("name", "target"), [pytest.param(n, t, marks=_slow(n)) for n, case in CASES.items() for t in case.targets]
)
def test_cubin(name: str, target: str, record_property: Any) -> None:
    """A cubin without spills, in which products run on beside other work where they were meant to.

    Where shared memory does not fit, the located error is the expected result.
    """
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    try:
        compiled = CASES[name].compiled(target)
    except TileError as error:
        assert error.code == "TD0501", error
        return
    assert not compiled.lowered.compiled.remarks
    for r in compiled.lowered.compiled.resources:
        record_property(r.name, f"{r.registers} registers, {r.spill_store_bytes + r.spill_load_bytes} bytes spilled")
        assert 0 < r.registers <= 255
        assert r.spill_store_bytes == r.spill_load_bytes == 0, r
