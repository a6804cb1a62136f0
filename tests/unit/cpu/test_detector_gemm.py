"""The detector on GEMMs: each synchronisation of the emitted text is missed when it is deleted or weakened.

The table of mutants is that of sm_80 kernels: barriers, waits, wait counts, commits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from handwritten_gemm import Parts, Tiles, gemm

from tiledsl.codegen.cuda import emit
from tiledsl.codegen.source import Entry
from tiledsl.cpu.device import MODES, SCHEDULES, compile_source
from tiledsl.cpu.findings import Finding
from tiledsl.testing.thread_stage import placed

pytestmark = pytest.mark.cxx

SIZE, K = 64, 160
TILES = Tiles(64, 64, 32, 32)
WHOLE = Parts()
RACES = {"TD0804", "TD0805", "TD0808", "TD0803"}


def emitted(parts: Parts = WHOLE) -> tuple[str, Entry]:
    source = emit(placed(gemm(SIZE, SIZE, K, TILES, parts)))
    return source.text, source.entries[0]


def run(text: str, entry: Entry, **how: Any) -> list[Finding]:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-1, 2, (SIZE, K)).astype(np.float16) for _ in range(2))
    given = {"A": a, "B": b, "C": np.zeros((SIZE, SIZE), np.float32)}
    findings: list[Finding] = []
    arguments = [given[n] for n in entry.params]
    module = compile_source(text, [entry.name], checked=True)
    module.launch(
        entry.name, (1,), entry.threads, entry.shared_bytes, arguments, shared=entry.shared, findings=findings, **how
    )
    if not findings:
        np.testing.assert_array_equal(given["C"], a.astype(np.float32) @ b.astype(np.float32).T)
    return findings


_WAIT = re.compile(r"tds::cp_async_wait<(\d+)>")


def mutants(text: str) -> Iterator[tuple[str, str]]:
    """One synchronisation less, or one wait that lets one group more pend."""
    body = text.splitlines()
    for i, line in enumerate(body):
        if re.search(r"tds::(barrier|cp_async_wait|cp_async_commit)\b", line):
            yield f"{line.strip()} deleted from line {i}", "\n".join(body[:i] + [""] + body[i + 1 :])
        if m := _WAIT.search(line):
            weaker = line.replace(m[0], f"tds::cp_async_wait<{int(m[1]) + 1}>")
            yield f"{line.strip()} weakened in line {i}", "\n".join(body[:i] + [weaker] + body[i + 1 :])


def test_every_deleted_or_weakened_synchronisation_is_reported_in_every_mode() -> None:
    text, entry = emitted()
    table = list(mutants(text))
    assert len(table) >= 6
    equivalent = []
    for what, mutant in table:
        runs = [{f.code for f in run(mutant, entry, mode=mode, schedule="fifo", seed=1)} for mode in MODES]
        assert all(bool(r) == bool(runs[0]) and r <= RACES for r in runs), (what, runs)
        if not runs[0]:
            equivalent.append(what)
    # The last iterations have waited for all copies: behind the loop only empty groups pend.
    last = max(i for i, line in enumerate(text.splitlines()) if _WAIT.search(line))
    assert all(what.endswith(f"line {last}") for what in equivalent), equivalent


def test_the_correct_kernel_is_clean_in_every_mode_and_schedule() -> None:
    text, entry = emitted()
    for mode in MODES:
        for schedule in SCHEDULES:
            assert not run(text, entry, mode=mode, schedule=schedule, seed=2)


@pytest.mark.parametrize(
    "parts",
    [
        Parts(barrier_before=False),
        Parts(wait=False),
        Parts(commit=False),
        Parts(pending=2),
        Parts(version_of_copy=1),
    ],
    ids=str,
)
def test_kernels_that_were_planned_wrongly(parts: Parts) -> None:
    text, entry = emitted(parts)
    for mode in MODES:
        found = run(text, entry, mode=mode, schedule="fifo")
        assert {f.code for f in found} & RACES, mode
        race = next((f for f in found if f.code in ("TD0804", "TD0805")), None)
        if race is not None:
            assert race.buffer in {name for name, *_ in entry.shared} and race.stage in (0, 1, 2)


def test_races_name_the_stage_of_the_tile() -> None:
    text, entry = emitted(replace(Parts(), wait=False))
    found = [f for f in run(text, entry, mode="late") if f.code == "TD0805"]
    assert {f.buffer for f in found} == {name for name, *_ in entry.shared}
    assert all("[stage " in f.text for f in found) and any("ldmatrix" in f.text for f in found)
