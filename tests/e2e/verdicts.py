"""Who catches a faulty kernel, and which faults are none: what the mutations of the IR and of the text share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from cases import Execute, cases_by_name, executed, load, variant_id, variants

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.codegen.cuda import Source
from tiledsl.cpu import interp
from tiledsl.cpu.findings import Finding
from tiledsl.cpu.turns import Order
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Kernel
from tiledsl.runtime.arguments import Bound
from tiledsl.testing import Case, Mismatch, compare
from tiledsl.testing.case import Draw

Variant = tuple[str, str]  # (case, target)


def _short_cases() -> list[Case]:
    """Examples with as little work as there may be, but with more turns than slots, in which every wait matters."""
    gemm = load("gemm_hopper")
    small = {"block": (128, 64, 32), "num_stages": 2, "blocks": 2, "group": 2}
    [persistent] = gemm.plain_cases(
        "persistent-short", lambda *size: gemm.gemm_persistent(*size, **small), ((384, 128, 64),)
    )
    attention = load("attention")
    causal = Case(
        "attention-causal-short",
        attention.flash_attention(1, 1, 128, 128, 64, causal=True, block_N=32),
        lambda draw: {name: draw(1, 128, 1, 64) for name in "QKV"},
        lambda Q, K, V: attention.attention_reference(Q, K, V, causal=True),
        exact=False,
    )
    hopper = load("attention_hopper")
    turns = Case(
        "attention-turns-short",
        hopper.flash_attention(1, 1, 128, 160, 64, block_N=32),
        lambda draw: {"Q": draw(1, 128, 1, 64), "K": draw(1, 160, 1, 64), "V": draw(1, 160, 1, 64)},
        hopper.attention_reference,
        exact=False,
    )
    cluster = load("gemm_cluster")
    fewest = {"block": (128, 64, 32), "num_stages": 2}
    clusters = Case(
        "gemm-cluster-short",
        cluster.gemm(128, 128, 128, **fewest),
        lambda draw: {"A": draw(128, 128), "B": draw(128, 128)},
        cluster.reference,
    )
    return [persistent, causal, turns, clusters]


SHORT = {case.name: case for case in _short_cases()}
CASES = cases_by_name() | SHORT
# One of each kind for sm_90a: roles with products in flight, under a condition, persistent with stores by the copy
# engine, beside softmax, roles written by hand, and no roles. The others are slow.
SOME_ON_SM90 = (
    *("gemm-3-stages", "gemm-block-sparse", *SHORT, "gemm-warp-specialized-barrierpipe_stage2-128x128x192"),
    "transpose-128x64",
)


def _parameter(variant: Variant) -> Any:
    name, target = variant
    return pytest.param(variant, marks=[pytest.mark.slow] if target == "sm_90a" and name not in SOME_ON_SM90 else [])


def every_variant(but: str = "") -> pytest.MarkDecorator:
    """Parametrizes a test of a variant. Without the cases whose names match `but`."""
    found = [*variants(), *((name, "sm_90a") for name in SHORT)]
    chosen = [v for v in found if v[0] in SOME_ON_SM90 or not re.fullmatch(but, v[0])]
    return pytest.mark.parametrize("variant", [_parameter(v) for v in chosen], ids=variant_id)


@dataclass(frozen=True)
class Equivalent:
    """Faults that change nothing that a kernel may be asked for: patterns of case, kind and text, and why."""

    case: str
    kind: str
    what: str
    reason: str

    def covers(self, case: str, kind: str, what: str) -> bool:
        pairs = ((self.case, case), (self.kind, kind), (self.what, what))
        return all(re.fullmatch(pattern, given) for pattern, given in pairs)


_PADDING = "chooses what the padding of a tile holds, rows or columns that no store writes"
_INSIDE = "columns or rows beyond the tensor are never stored, and what is read instead lies in the tensor's memory"
_UNUSED = "the copy is of a tile that nobody reads; element guards keep it in bounds"
# order-globals separates the read of R by all replicas of an element from the write by one of them.
_WORKSPACE = "the barrier of the reduction's workspace, added later, also stands between the read and the write of R"
_ONE_WARP = "the replicas are lanes of one warp, which the shuffles of the reduction bring together after the read of R"
# On sm_90a.
_LAST_ROLE = "no other threads are left for the last role"
_FENCED = "no register of the product has been written since the fence before it"
_UNAWAITED = "the tiles of the last turns are released, but no more are copied"
_REGISTERS = "ptxas makes do with the registers of the launch then: slower, but the same"
_TURNS = "there are few turns: no slot is used again, or nobody waits for it any more"
_LISTS = "not asked for: which branches there are to take depends on the lists, and on the lengths"
_ONLY_THREADS = "the fence is for the copy engine, which no barrier of these kernels waits for"
_MEETING = "all threads of the role have just waited at the barrier where the roles meet"
_FENCES = "there is another fence on the way from the write to the product"
_ONE_TILE = "no block has two tiles that it stores alike, so nothing is reused"
_SPLIT = "all tiles are split, so none is stored by the copy engine"
_TILES = "bulk-stores cannot tell that the tiles of all turns are different ones; they are"
_ONE_ROW = "a tile of one row, on which neither swizzles nor pipelines act; the case is there for the empty split"


def _on_sm90() -> Iterator[Equivalent]:
    """Of the chosen cases each fault by its number. The others have loops too short for some faults to matter."""
    yield Equivalent(r".*-sm_90a", "guard", r"guard 'if \(warp >= \d+\)' dropped.*", _LAST_ROLE)
    yield Equivalent(r".*-sm_90a", "setmaxnreg_inc", r".* removed .*", _REGISTERS)
    yield Equivalent(r".*-sm_90a", "SetRegisters", r"SetRegisters #2 removed .*", _REGISTERS)
    for case, fence, arrival in (
        *(
            ("gemm-3-stages", 2, 2),
            ("attention-causal-short", 3, 4),
            ("attention-turns-short", 3, 4),
            ("gemm-cluster-short", 2, 2),
        ),
    ):
        case = f"{case}-sm_90a"
        yield Equivalent(case, "wgmma_fence|Fence", f"(wgmma_fence removed|Fence\\[product\\]) #{fence} .*", _FENCED)
        kinds, what = "mbarrier_arrive(_ranks)?|Arrive", f"(mbarrier_arrive(_ranks)? .*|Arrive) #{arrival} .*"
        yield Equivalent(case, kinds, what, _UNAWAITED)
        yield Equivalent(case, "guard", f".*thread_2( & 127\\))? == 0.* #{arrival} .*", _UNAWAITED)
    case = "gemm-hopper-persistent-short.*"
    yield Equivalent(case, "wgmma_fence|Fence", r"(wgmma_fence removed|Fence\[product\]) #2 .*", _FENCED)
    yield Equivalent(case, "bulk_wait|AsyncWait", r"bulk_wait .*|AsyncWait\[store\] #2 .*", _TILES)

    others = f"(?!({'|'.join(SOME_ON_SM90)})-sm_90a).*-sm_90a"
    yield Equivalent(others, "wgmma_fence|Fence", r"(wgmma_fence removed|Fence\[product\]) #[^1].*", _FENCED)
    yield Equivalent(others, "mbarrier_(init|arrive(_ranks)?)|InitBarrier|Arrive", r".*", _TURNS)
    yield Equivalent(others, "mbarrier_wait(_cluster)?|Await", r".* removed .*", _TURNS)
    yield Equivalent(others, "wgmma_(commit|wait)|AsyncCommit|AsyncWait", r"(wgmma|.*\[product\]).*", _TURNS)
    yield Equivalent(others, "guard", r".*thread(_\d+)?( & 127\))? == 0.*", _TURNS)
    yield Equivalent(others, "counter|swizzle|selection", r".*(slot|phase|next).*", _TURNS)
    persistent = "gemm-(grouped|hopper)-(persistent|dynamic).*"
    yield Equivalent(persistent, "bulk_wait|AsyncWait", r"bulk_wait .*|AsyncWait\[store\].*", _TILES)
    few = "gemm-(hopper-persistent-128x64x64|hopper-stream-k|grouped-persistent).*"
    yield Equivalent(few, "bulk_wait_read|barrier_named|AsyncWait|Barrier", r".*", _ONE_TILE)
    unsplit = "bulk_(commit|wait)|fence_proxy_async|guard|swizzle|AsyncCommit|AsyncWait|Fence"
    yield Equivalent("gemm-hopper-stream-k.*", unsplit, r".*", _SPLIT)
    yield Equivalent("gemm-grouped.*-one-.*", "bulk_.*|fence_proxy_async|AsyncCommit|AsyncWait|Fence", r".*", _LISTS)
    lists = "(gemm-grouped|block-sparse|mla-decode|attention-(hopper|backward)).*"
    yield Equivalent(lists, "guard|predicate|selection|swizzle|counter", r".*", _LISTS)
    threads = "gemm-warp-specialized-(barrierpipe_threads|copy_gemm_0_1).*"
    yield Equivalent(threads, "fence_mbarrier_init|Fence", r"(fence_mbarrier|Fence\[barrier_init\]).*", _ONLY_THREADS)
    yield Equivalent(r".*copy_gemm_0_1.*", "barrier_named|Barrier", r".*", _MEETING)
    yield Equivalent(r".*copy_gemm_0_1.*", "fence_proxy_async|Fence", r"(fence_proxy|Fence\[async_proxy\]).*", _FENCES)
    yield Equivalent(
        "(gemm-odd|gemm-dynamic|block-sparse|mla-decode).*",
        *("fence_proxy_async|Fence", r"(fence_proxy|Fence\[async_proxy\]).*", _FENCES),
    )


EQUIVALENT = (
    Equivalent(
        r"(softmax|rms-norm|attention|decode|gemm-odd|gemm-dynamic).*",
        *("selection", r".*'.* < [^']*' .*taken as true.*", _PADDING),
    ),
    Equivalent(r"gemm-(ragged|constant-style)(-sm_90a)?", "predicate|selection", r".*", _INSIDE),
    Equivalent(r"gemm-(hopper-)?dynamic.*", "guard", r".*(if \(|')(0|ko) < .*", _UNUSED),
    Equivalent(r"gemm-block-sparse", "guard", r".*Mask.*", f"{_UNUSED}; the product of the tile keeps its guard"),
    Equivalent(r"attention-.*-causal.*", "guard", r".*(if \(|')[01] < .*", _UNUSED),
    Equivalent(
        r"decode-split-(128|100)(-sm_90a)?",
        "selection",
        r".*total\[.* > 0.*",
        "no split is empty; decode-split-1 has one",
    ),
    Equivalent(r"decode-split-1(-sm_90a)?", "selection", r".*total\[.* > 0.*", "log2(0) is the -inf that is selected"),
    Equivalent(
        r"decode-split-1(-sm_90a)?",
        "swizzle|cp_async_(commit|wait)|AsyncCommit|AsyncWait|counter|version",
        ".*",
        _ONE_ROW,
    ),
    Equivalent(r"reduce-(sum|max)-dim0-accumulate", "barrier|Barrier", r".*", _WORKSPACE),
    Equivalent(r"reduce-(sum|max)-dim1-accumulate", "Barrier", r".*", _ONE_WARP),
    *_on_sm90(),
)


def reason(case: str, kind: str, what: str) -> str | None:
    """Why such a fault cannot be seen; None if it must be caught."""
    return next((e.reason for e in EQUIVALENT if e.covers(case, kind, what)), None)


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
        return self._verdict(lambda _, arguments: interp.run(kernel, arguments, check=True, mode="late", roles=roles))

    def device(self, source: Source, mode: str) -> str:
        """What the checked CPU device says of this text."""
        lowered = replace(self.lowered, source=source)

        def run(bound: Bound, _: object) -> None:
            findings: list[Finding] = []
            run_on_cpu(lowered, bound, Backend.CPU, check=True, findings=findings, mode=mode)
            if findings:
                raise findings[0].error()

        return self._verdict(run)

    def _verdict(self, run: Execute) -> str:
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
    alone = target == "sm_90a" and name in SOME_ON_SM90
    cases = (CASES[name],) if alone else groups(target).get(name)
    if cases is None:
        pytest.skip("its text is that of another case")
    return [Subject(case, target) for case in cases]


def first(verdicts: Iterable[str]) -> str:
    return next(filter(None, verdicts), "")


class Score:
    """The faults of one kernel: caught and by whom, equivalent, or survivors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.caught: Counter[str] = Counter()
        self.equivalent: list[str] = []
        self.survivors: list[str] = []

    def add(self, kind: str, what: str, by: str) -> None:
        why = reason(self.name, kind, what)
        if by:
            self.caught[by] += 1
        elif why is not None:
            self.equivalent.append(f"{what}: {why}")
        else:
            self.survivors.append(f"{kind}: {what}")

    def finish(self) -> None:
        """Prints the score; raises AssertionError with the survivors if there are any."""
        total = self.caught.total()
        print(f"{self.name}: {total} of {total + len(self.survivors)} faults caught", dict(self.caught))
        for line in self.equivalent:
            print(f"    equivalent: {line}")
        assert not self.survivors, "\n".join(self.survivors)
