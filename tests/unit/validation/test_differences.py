"""Every kind of comparison sees a seeded difference, and says which element of which buffer it is."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from planted import dropped, edit, other_sign, traced

from tiledsl.codegen.cuda import emit
from tiledsl.ir.nodes import Barrier, Binary, Const, Kernel, Store
from tiledsl.ir.parser import parse
from tiledsl.ir.walk import walk
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.target import target_named
from tiledsl.validation.compare import Difference, Failed, Stage, first_difference, stage_after, stage_of, tolerance
from tiledsl.validation.inputs import candidates
from tiledsl.validation.trail import Deviation, Trail

SM_80 = target_named("sm_80")


def arrays(*values: float, dtype: object = np.float32) -> dict[str, np.ndarray]:
    return {"C": np.array(values).astype(dtype)}  # type: ignore[call-overload]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.int8, bool])
def test_one_bit_is_a_difference(dtype: object) -> None:
    a, b = arrays(0, 1, 1, dtype=dtype), arrays(0, 1, 0, dtype=dtype)
    found = first_difference(a, b)
    assert found is not None
    assert found == Difference("C", (2,), 1, 0, 1, 3)
    assert str(found).startswith(f"C[2] is {found.before} before")
    assert "(1 of 3 elements differ)" in str(found)
    assert first_difference(a, a) is None


def test_nan_equals_nan_and_nothing_else_does() -> None:
    other_nan = np.array([0x7FC00001], np.uint32).view(np.float32)
    assert first_difference(arrays(np.nan), {"C": other_nan}) is None
    assert first_difference(arrays(np.nan), arrays(0.0)) is not None
    assert first_difference(arrays(0.0), arrays(-0.0)) is not None
    assert first_difference(arrays(0.0), arrays(-0.0), rounding=True) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64])
def test_rounding_is_a_few_last_places_and_not_more(dtype: type) -> None:
    limit = tolerance(np.dtype(dtype))
    one, near, far = arrays(1, dtype=dtype), arrays(1 + limit, dtype=dtype), arrays(1 + 8 * limit, dtype=dtype)
    assert first_difference(one, near) is not None
    assert first_difference(one, near, rounding=True) is None
    assert first_difference(one, far, rounding=True) is not None


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_rounding_never_makes_a_number_of_what_is_none(wrong: float) -> None:
    assert first_difference(arrays(1, 1), arrays(1, wrong), rounding=True) is not None
    assert first_difference(arrays(1, wrong), arrays(1, 1), rounding=True) is not None


def test_integers_are_never_rounded() -> None:
    assert first_difference(arrays(1 << 20, dtype=int), arrays((1 << 20) + 1, dtype=int), rounding=True) is not None


def test_stages() -> None:
    assert {stage_after(name) for name in PASSES} == set(Stage)
    assert stage_after("order-globals") is Stage.TILE
    assert stage_after("insert-barriers") is stage_after("count-versions") is Stage.THREAD
    assert stage_of(traced()) is Stage.TILE


# ------------------------------------------------------------------------------------------- a pass between two runs

CHANGES = {
    "a tile statement": ("normalise", other_sign, "C[0, 0] is"),
    "a thread statement": ("unroll", other_sign, "C[0, 0] is"),
    "a race": ("insert-barriers", dropped(Barrier), "TD0804"),
}


def after(name: str) -> tuple[Trail, Kernel]:
    """The trail up to the pass before `name`, and what that pass gives."""
    trail = Trail(traced())
    kernel = traced()
    for p in pipeline(SM_80):
        made = p(kernel)
        if p.name == name:
            return trail, made
        assert trail.step(p, made) is None
        kernel = made
    raise AssertionError(name)


@pytest.mark.parametrize("name", CHANGES)
def test_a_seeded_difference_is_seen_at_each_stage(name: str) -> None:
    at, change, expected = CHANGES[name]
    trail, kernel = after(at)
    p = next(p for p in pipeline(SM_80) if p.name == at)
    found = trail.step(p, change(kernel))
    assert isinstance(found, Deviation)
    assert (found.what, expected in str(found.why)) == (at, True)
    assert trail.step(p, kernel) is None  # a trail goes on from the last kernel that was right


RACING = """\
kernel k(A: global int32[2], B: global int32[64]) {
  launch k(b in 2) threads(t in 32) {
    B[t] = A[b]
  }
}
"""


def test_a_race_between_blocks_is_a_finding_of_strict_trails() -> None:
    right = parse(RACING.replace("B[t]", "B[b * 32 + t]"))
    wrong = parse(RACING.replace("A[b]", "A[0]"))
    p = PASSES["count-versions"]
    for strict in (False, True):
        trail = Trail(wrong, stage=Stage.THREAD)
        trail.strict = strict
        found = trail.step(p, edit(wrong, lambda n: isinstance(n, Store), lambda n: replace(n)))
        assert (found is not None) is strict
    assert isinstance(found, Deviation)
    assert "TD0814" in str(found.why)
    assert Trail(right, stage=Stage.THREAD, strict=True).outputs["B"].size == 64


def test_writing_what_is_only_read_is_a_finding() -> None:
    k = parse(RACING.replace("B[t]", "B[b * 32 + t]"))
    wrong = edit(k, lambda n: isinstance(n, Store), lambda n: (n, replace(n, buffer=k.params[0], indices=(Const(0),))))
    found = Trail(k, stage=Stage.THREAD).step(PASSES["count-versions"], wrong)
    assert found is not None
    assert isinstance(found.why, Failed)


@pytest.mark.cxx
@pytest.mark.parametrize("mode", ["values", "waits", "an input"])
def test_a_seeded_difference_in_the_text_is_seen(mode: str) -> None:
    kernel = run_pipeline(traced(), pipeline(SM_80))
    trail = Trail(kernel)
    source = emit(kernel)
    found, ran = trail.emitted(source)
    assert (found, ran) == (None, True)
    edits = {
        "values": (" < 5", " < 4"),
        "waits": ("tds::cp_async_wait<0>();", ""),
        "an input": ("acc[r] = 0.0f;", "acc[r] = 0.0f; ((tds::f16*)A)[0] = tds::f16{0x4400};"),
    }
    old, new = edits[mode]
    assert old in source.text, source.text
    found, _ = trail.emitted(replace(source, text=source.text.replace(old, new, 1)))
    assert found is not None
    assert found.what == "emit"


def test_the_first_candidate_is_what_a_trail_runs_on() -> None:
    trail = Trail(traced())
    assert set(trail.inputs.values) == set(next(candidates(traced())).values)
    assert any(isinstance(n, Binary) for n in walk(trail.kernel))
