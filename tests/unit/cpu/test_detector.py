"""The race detector: each bug is found, in every mode and schedule, and the kernel without it is clean."""

from __future__ import annotations

import json

import numpy as np
import pytest
from device_kernels import BUGS, Bug, compile_body, lines, run_body

from tiledsl.cpu.device import MAX_GROUP_THREADS, MODES, SCHEDULES
from tiledsl.cpu.findings import Finding
from tiledsl.errors import NOWHERE, TileError, error

pytestmark = pytest.mark.cxx

HOWS = [(mode, schedule, seed) for mode in MODES for schedule in SCHEDULES for seed in (1, 2)]
STRAIGHT = [h for h in HOWS if h[2] == 1]


def places(finding: Finding) -> tuple[int, ...]:
    return tuple(span.line for span in (finding.span, finding.other_span) if span is not NOWHERE)


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_every_bug_is_found_in_every_mode_and_schedule(bug: Bug) -> None:
    body = bug.body.replace("$", bug.wrong)
    for mode, schedule, seed in STRAIGHT:
        result = run_body(body, blocks=bug.blocks, mode=mode, schedule=schedule, seed=seed)
        found = {(f.code, places(f), f.buffer) for f in result.findings}
        if bug.name == "last-block" and schedule != "fifo":  # whether another block reads it depends on who is last
            continue
        assert {code for code, _, _ in found} <= {bug.code, "TD0804", "TD0805"}, (mode, schedule)
        ends = {(bug.lines, bug.buffer), (bug.lines[::-1], bug.buffer)}
        assert {(at, buffer) for _, at, buffer in found} & ends, (mode, schedule, found)


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_the_verdict_of_one_schedule_does_not_depend_on_when_data_arrives(bug: Bug) -> None:
    body = bug.body.replace("$", bug.wrong)
    for schedule in ("fifo", "reverse"):
        runs = [run_body(body, blocks=bug.blocks, mode=m, schedule=schedule, seed=3).findings for m in MODES]
        assert runs[0] == runs[1] == runs[2]
        assert bug.code in {f.code for f in runs[0]} or schedule == "reverse"


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_the_correct_twin_is_clean(bug: Bug) -> None:
    body = bug.body.replace("$", bug.right)
    for mode, schedule, seed in HOWS:
        assert not run_body(body, blocks=bug.blocks, mode=mode, schedule=schedule, seed=seed).findings


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_findings_do_not_depend_on_the_number_of_host_threads(bug: Bug) -> None:
    body = bug.body.replace("$", bug.wrong)
    blocks = bug.blocks * 5
    runs = [run_body(body, blocks=blocks, mode="random", seed=7, workers=n).findings for n in (1, 2, 3, 2)]
    assert runs[0] and all(r == runs[0] for r in runs)


# ------------------------------------------------------------------------------------------------ what a finding says


def finding_of(name: str) -> Finding:
    bug = next(b for b in BUGS if b.name == name)
    return run_body(bug.body.replace("$", bug.wrong), blocks=bug.blocks).findings[0]


def test_a_race_names_both_threads_the_stage_and_the_element() -> None:
    f = finding_of("second-stage")
    assert (f.thread, f.other_thread, f.block, f.buffer, f.stage, f.element) == (0, 32, (0, 0, 0), "tile", 1, 32) or (
        (f.thread, f.other_thread, f.stage, f.element) == (32, 0, 1, 0)
    )
    assert f.count == 64  # each pair of threads races both ways
    problem = f.error()
    assert problem.code == "TD0804" and "'tile[stage 1, element" in problem.message
    assert problem.span.line == 3 and [span.line for _, span in problem.notes] == [1]
    assert "a store by thread" in f.text and "found 64 times" in f.text


def test_a_race_between_blocks_names_both_blocks() -> None:
    f = finding_of("blocks-read")
    assert f.block != f.other_block and f.thread == f.other_thread == 0 and f.facts["offset"] in ("0", "256")
    assert "blocks (" in f.error().message and "of block (" in f.text


def test_findings_as_json() -> None:
    data = json.loads(json.dumps(finding_of("copy-weak-wait").to_json()))
    assert data["code"] == "TD0805" and data["place"] == {"file": "kernel.py", "line": 4}
    assert data["other_place"] == {"file": "kernel.py", "line": 1} and data["buffer"] == "tile" and data["stage"] == 0


def test_an_error_of_another_execution_is_a_finding() -> None:
    problem = error("TD0803", NOWHERE, (), buffer="A", place="", where="block (0, 0, 0)")
    f = Finding.of(problem)
    assert (f.code, f.buffer, f.error()) == ("TD0803", "A", problem) and "'A' is read" in f.text


def test_without_a_list_the_first_is_raised_and_what_stops_the_kernel_before_others() -> None:
    race = "tds::store(out + t, tds::load(out + (t ^ 1)));"
    module = compile_body(race)
    arrays = [np.zeros(64, np.float32), np.zeros(64, np.float32), np.zeros(4, np.int32)]
    with pytest.raises(TileError) as caught:
        module.launch("k", (1,), 64, 1024, arrays)
    assert caught.value.code == "TD0804" and "'out at byte 0'" in caught.value.message
    with pytest.raises(TileError) as caught:
        compile_body(lines(race, "tds::load(in + 64 * t);")).launch("k", (1,), 64, 1024, arrays)
    assert caught.value.code == "TD0802"


def test_a_launch_goes_on_after_a_race_and_ends_a_block_that_cannot() -> None:
    body = lines("tds::store_shared<float>(s, 1.0f); tds::barrier();", "tds::store(out + 64 * b + t, 1.0f);")
    result = run_body(body, blocks=3)
    assert result.codes == {"TD0804"} and (result.out[:192] == 1).all()
    result = run_body("if (b == 1) tds::store(out - 1, 1.0f);\ntds::store(out + 64 * b + t, 1.0f);", blocks=3)
    assert result.codes == {"TD0802"} and (result.out[:64] == 1).all() and (result.out[128:192] == 1).all()


def test_the_list_of_findings_is_bounded() -> None:
    body = lines(*(f"tds::store_shared<float>(s + {4 * i}, 1.0f);" for i in range(200)))
    assert len(run_body(body, blocks=3).findings) == 64


# -------------------------------------------------------------------------------------------------- groups of blocks

_TURN = lines(
    "while (tds::atomic_load(flag) != b) {}",
    "tds::fence(); tds::store(out + t, tds::load(out + t) * 2 + (float)b); tds::fence();",
    "tds::barrier(); if (t == 0) { tds::fence(); tds::atomic_store(flag, b + 1); }",
)


@pytest.mark.parametrize("checked", [False, True])
def test_blocks_take_turns_by_a_flag_in_global_memory(checked: bool) -> None:
    expected = 0
    for b in range(12):
        expected = expected * 2 + b
    for schedule in SCHEDULES:
        result = run_body(_TURN, blocks=12, checked=checked, schedule=schedule, seed=5)
        assert not result.findings and (result.out[:64] == expected).all(), schedule


@pytest.mark.parametrize("checked", [False, True])
def test_a_flag_that_nobody_sets_is_a_deadlock(checked: bool) -> None:
    result = run_body(lines("tds::barrier();", "if (t == 3) while (tds::atomic_load(flag) == 0) {}"), 32, 2, checked)
    assert result.codes == {"TD0830"} and result.findings[0].span.line == 2
    message = result.findings[0].error().message
    assert "threads 3 repeat the atomic access in line 2" in message and "threads 0-2, 4-31 have ended" in message


def test_a_spin_within_a_block_makes_progress() -> None:
    spin = "if (t == 0) { while (!tds::atomic_load(flag)) {} } else if (t == 33) tds::atomic_exch(flag, 1);"
    for schedule in SCHEDULES:
        assert not run_body(spin, schedule=schedule, cooperative=False).findings


def test_too_many_blocks_to_run_together() -> None:
    with pytest.raises(TileError) as caught:
        run_body(_TURN, 64, MAX_GROUP_THREADS // 64 + 1)
    assert caught.value.code == "TD0833" and str(MAX_GROUP_THREADS) in caught.value.message
    assert not run_body("tds::fence(); tds::atomic_add(flag, 1);", 64, MAX_GROUP_THREADS // 64 + 1).findings


def test_the_blocks_of_a_cluster_have_their_own_shared_memory() -> None:
    body = lines(
        "tds::store_shared<float>(s + 4 * t, (float)(64 * b + t)); tds::barrier();",
        "tds::store(out + 64 * b + t, tds::load_shared<float>(s + 4 * t));",
    )
    for checked in (False, True):
        result = run_body(body, blocks=8, cluster=(4,), checked=checked)
        assert not result.findings and (result.out[:512] == np.arange(512)).all()


def test_remote_shared_memory_is_checked_as_that_of_its_block() -> None:
    body = lines(
        "const tds::u32 other = s | ((b ^ 1) + 1) << 24;",
        "tds::store_shared<float>(other + 4 * t, 1.0f);",
        "tds::load_shared<float>(s + 4 * t);",
    )
    result = run_body(body, blocks=2, cluster=(2,))
    assert result.codes <= {"TD0803", "TD0804"} and result.findings
    first = result.findings[0]
    assert first.block != first.other_block or first.code == "TD0803"
    outside = lines("const tds::u32 other = s | 3 << 24;", "tds::load_shared<float>(other);")
    assert run_body(outside, blocks=2, cluster=(2,)).codes == {"TD0802"}


def test_wrong_clusters() -> None:
    for cluster, blocks in (((3,), 4), ((32,), 32), ((0,), 1)):
        with pytest.raises(ValueError, match="cluster"):
            run_body("tds::barrier();", blocks=blocks, cluster=cluster)


# ----------------------------------------------------------------------------------------------------------- the cost


def clock_work(threads: int, barriers: int) -> int:
    body = f"for (int i = 0; i < {barriers}; ++i) tds::barrier();"
    return run_body(body, threads).statistics["clock_work"]


def test_a_barrier_of_t_threads_costs_order_t() -> None:
    small, large = (clock_work(t, 40) for t in (128, 1024))
    assert small >= 40 * 128 and large <= 8.5 * small
    assert clock_work(1024, 80) <= 2.2 * large


def test_readers_of_one_word_do_not_cost_their_square() -> None:
    """Every thread reads every word, again and again; the lists of readers are pruned."""
    body = lines(
        "tds::store_shared<float>(s + 4 * (t & 63), 1.0f); tds::barrier();".replace("(t & 63)", "t"),
        "for (int i = 0; i < 200; ++i) tds::load_shared<float>(s + 4 * (i & 63));",
        "tds::barrier(); tds::store_shared<float>(s + 4 * t, 2.0f);",
    )
    assert not run_body(body, 128).findings
