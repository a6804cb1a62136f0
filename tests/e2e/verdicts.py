"""Who catches a faulty kernel: what the mutations of the IR and of the text share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import pytest
from cases import Execute, cases_by_name, executed, load, variant_id, variants
from equivalences import reason

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.codegen.source import Source
from tiledsl.cpu import interp
from tiledsl.cpu.findings import Finding
from tiledsl.cpu.turns import Order
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Kernel
from tiledsl.runtime.arguments import Bound
from tiledsl.testing import Case, Mismatch, compare
from tiledsl.testing.case import Draw

Variant = tuple[str, str]  # (case, target)


def _short_cases() -> Iterator[Case]:
    """Examples with as little work as there may be, but with more turns than slots, in which every wait matters."""
    gemm = load("gemm_hopper")
    small = {"block": (128, 64, 32), "num_stages": 2, "blocks": 2, "group": 2}
    yield from gemm.plain_cases(
        "persistent-short", lambda *size: gemm.gemm_persistent(*size, **small), ((384, 128, 64),)
    )
    attention = load("attention")
    for dim, causal, seq in product((64, 96, 128), (False, True), (128, 120)):
        yield Case(
            f"attention-d{dim}{'-causal' if causal else ''}-short-{seq}",
            attention.flash_attention(1, 1, seq, seq, dim, causal=causal, block_N=32),
            lambda draw, seq=seq, dim=dim: {name: draw(1, seq, 1, dim) for name in "QKV"},
            lambda Q, K, V, causal=causal: attention.attention_reference(Q, K, V, causal=causal),
            exact=False,
        )
    hopper = load("attention_hopper")
    yield Case(
        "attention-turns-short",
        hopper.flash_attention(1, 1, 128, 160, 64, block_N=32),
        lambda draw: {"Q": draw(1, 128, 1, 64), "K": draw(1, 160, 1, 64), "V": draw(1, 160, 1, 64)},
        hopper.attention_reference,
        exact=False,
    )
    cluster = load("gemm_cluster")
    fewest = {"block": (128, 64, 32), "num_stages": 2}
    yield Case(
        "gemm-cluster-short",
        cluster.gemm(128, 128, 128, **fewest),
        lambda draw: {"A": draw(128, 128), "B": draw(128, 128)},
        cluster.reference,
    )


SHORT = {case.name: case for case in _short_cases()}
CASES = cases_by_name() | SHORT
# One of each kind for sm_90a: roles with products in flight, under a condition, persistent with stores by the copy
# engine, beside softmax, warpgroups in turns, roles written by hand, and no roles. The others are slow.
SOME_ON_SM90 = (
    *("gemm-3-stages", "gemm-block-sparse", "gemm-hopper-persistent-short-384x128x64", "gemm-cluster-short"),
    *("attention-d64-causal-short-128", "gemm-warp-specialized-barrierpipe_stage2-128x128x192", "transpose-128x64"),
    "attention-turns-short",
)
SCHEDULES = (("late", 0), ("early", 0), ("random", 0))  # modes of asynchronous copies, seeds
MORE_SCHEDULES = tuple(("random", seed) for seed in range(1, 17))
TOO_SHORT = r"attention-d\d+(-causal)?-\d+x\d+"  # on sm_90a: loops of two turns, in place of which the short ones stand


def _parameter(variant: Variant) -> Any:
    name, target = variant
    return pytest.param(variant, marks=[pytest.mark.slow] if target == "sm_90a" and name not in SOME_ON_SM90 else [])


def every_variant(but: str = "") -> pytest.MarkDecorator:
    """Parametrizes a test of a variant. Without the cases whose names match `but`."""
    found = [(n, t) for n, t in variants() if t == "sm_80" or not re.fullmatch(TOO_SHORT, n)]
    found += [(name, "sm_90a") for name in SHORT]
    chosen = [v for v in found if v[0] in SOME_ON_SM90 or not re.fullmatch(but, v[0])]
    return pytest.mark.parametrize("variant", [_parameter(v) for v in chosen], ids=variant_id)


@cache
def groups(target: str) -> dict[str, tuple[Case, ...]]:
    """The cases of each text for `target`, under the name of the first: of a dynamic kernel there are several."""
    by_text: dict[str, list[Case]] = {}
    for case in (CASES[name] for name, t in variants() if t == target):
        by_text.setdefault(case.compiled(target).lowered.source.text, []).append(case)
    return {cases[0].name: tuple(cases) for cases in by_text.values()}


class Subject:
    """A case with exact inputs, to be run in faulty forms."""

    def __init__(self, case: Case, target: str) -> None:
        self.case, self.lowered = case, case.compiled(target).lowered
        self.inputs = dict(case.inputs(Draw(4, exact=True)))
        self.expected = case.reference(**self.inputs)

    def simt(self, kernel: Kernel, roles: Order = "first") -> str:
        """What the thread-stage interpreter says of `kernel`: a code, "wrong value", or nothing."""
        return self.verdict(lambda _, arguments: interp.run(kernel, arguments, check=True, mode="late", roles=roles))

    def device(self, source: Source, mode: str, seed: int) -> str:
        """What the checked CPU device says of this text."""
        lowered = replace(self.lowered, source=source)

        def run(bound: Bound, _: object) -> None:
            findings: list[Finding] = []
            run_on_cpu(lowered, bound, Backend.CPU, check=True, findings=findings, mode=mode, seed=seed)
            if findings:
                raise findings[0].error()

        return self.verdict(run)

    def verdict(self, run: Execute) -> str:
        """What is wrong with the results of `run`: a code, "wrong value", or nothing."""
        try:
            arrays = executed(self.lowered, self.inputs, run)
            for name, value in self.expected.items():
                rtol, atol = (0.0, 0.0) if self.case.exact else (self.case.rtol, self.case.atol)
                compare(name, arrays[name], value, rtol, atol)
        except TileError as problem:
            return problem.code
        except Mismatch:
            return "wrong value"
        return ""


def subjects_of(variant: Variant) -> list[Subject]:
    """What has the text of this case, of which the test is; skips the test if it is of another one."""
    name, target = variant
    alone = target == "sm_90a" and name in (*SOME_ON_SM90, *SHORT)
    cases = (CASES[name],) if alone else groups(target).get(name)
    if cases is None:
        pytest.skip("its text is that of another case")
    return [Subject(case, target) for case in cases]


def first(verdicts: Iterable[str]) -> str:
    return next(filter(None, verdicts), "")


def on_device(subjects: list[Subject], source: Source, hopeless: bool = False) -> str:
    """Who catches this text on the checked CPU device; what is not `hopeless` has more schedules to be caught in."""
    schedules = SCHEDULES if hopeless else (*SCHEDULES, *MORE_SCHEDULES)
    return first(s.device(source, mode, seed) for mode, seed in schedules for s in subjects)


class Score:
    """The faults of one kernel: caught and by whom, equivalent, or survivors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.caught: Counter[str] = Counter()
        self.equivalent: list[str] = []
        self.survivors: list[str] = []
        self.covered: list[str] = []  # faults that were caught though they were said to change nothing

    def add(self, kind: str, what: str, line: int, by: str) -> None:
        why, said = reason(self.name, kind, what), f"{kind}: {what} (line {line})"
        if by:
            self.caught[by] += 1
        if by and why is not None and self.name.endswith("-sm_90a"):
            self.covered.append(f"{said}: {by}, though {why}")
        elif why is not None:
            self.equivalent.append(f"{what}: {why}")
        elif not by:
            self.survivors.append(said)

    def finish(self) -> None:
        """Prints the score; raises AssertionError with the survivors, or the wrong equivalences, if there are any."""
        total = self.caught.total()
        print(f"{self.name}: {total} of {total + len(self.survivors)} faults caught", dict(self.caught))
        for line in self.equivalent:
            print(f"    equivalent: {line}")
        assert not self.survivors, "\n".join(self.survivors)
        assert not self.covered, "no equivalence may cover what is caught:\n" + "\n".join(self.covered)
