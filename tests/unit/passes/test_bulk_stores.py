"""Stores by the copy engine: where they are waited for. In mode "late" the interpreter ends the last one first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.cpu import interp, tile_interp
from tiledsl.errors import TileError
from tiledsl.ir.concurrent import Arrive, ClusterBarrier, Roles
from tiledsl.ir.nodes import AsyncWait, Barrier, Kernel, Stmt
from tiledsl.ir.parser import parse
from tiledsl.ir.tile import Atomic, Copy
from tiledsl.ir.walk import statements
from tiledsl.passes.bulk_stores import bulk_stores
from tiledsl.target import target_named

SM90 = target_named("sm_90a")
FRAME = """
kernel k(A: global float16[64, 8], C: global float16[64, 8], D: global float16[64, 8], n) {{
  launch k(bx in 1) threads(t in 128) {{
    alloc S: shared float16[8, 8]
    alloc T: shared float16[8, 8]
    alloc f: fragment float16[8, 8]
    copy A[0 : 8, 0 : 8] -> S
    copy A[8 : 8, 0 : 8] -> T
    copy A[16 : 8, 0 : 8] -> f
    alloc U: shared float16[8, 8]
    {body}
  }}
}}
"""


def made(body: str) -> tuple[Kernel, Kernel]:
    kernel = parse(FRAME.format(body=body))
    return kernel, bulk_stores(kernel, target=SM90)


def results(kernel: Kernel, n: int, mode: Any) -> list[bytes]:
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 99, (64, 8)).astype(np.float16) for name in "ACD"}
    tile_interp.run(kernel, {**arrays, "n": n}, mode=mode)
    return [a.tobytes() for a in arrays.values()]


def put(tile: str, row: str, tensor: str = "C") -> str:
    return f"copy {tile} -> {tensor}[{row} : 8, 0 : 8]\n"


def get(tile: str, row: str, tensor: str = "A") -> str:
    return f"copy {tensor}[{row} : 8, 0 : 8] -> {tile}\n"


def update(op: str, tile: str, row: str, tensor: str = "C") -> str:
    return f"atomic({op}, engine=copies) {tile} -> {tensor}[{row} : 8, 0 : 8]\n"


def loop(body: str, extent: str = "4") -> str:
    return f"for k in {extent} {{\n{body}}}\n"


def when(condition: str, body: str) -> str:
    return f"if {condition} {{\n{body}}}\n"


VIEW = """view W: global float16[512] of C
alloc g: fragment float16[64]
alloc L: shared float16[64]
fill L, float16(1.0)
"""
# The statements, and the waits that they need: "r" for the tile to be read, "w" for the result to be there.
WAITS = {
    "two places": (put("S", "0") + put("T", "8"), "r"),
    "one place": (put("S", "0") + put("T", "0"), "wr"),
    "parts of one place": (put("S", "0") + put("T", "7"), "wr"),
    "two tensors": (put("S", "0") + put("T", "0", "D"), "r"),
    "a view of the tensor is read": (VIEW + put("S", "0") + "copy W[512 - 64 : 64] -> g\n" + put("f", "0", "D"), "w"),
    "a view is stored to": (VIEW + "copy L -> W[0 : 64]\n" + get("f", "32", "C") + put("f", "0", "D"), "w"),
    "a view of another tensor": (VIEW + put("S", "0", "D") + "copy W[0 : 64] -> g\n" + put("f", "8"), "r"),
    "read back": (put("S", "0") + get("f", "4", "C") + put("f", "0", "D"), "w"),
    "something else is read": (put("S", "0") + get("f", "8", "C") + put("f", "0", "D"), "r"),
    "overwritten by threads": (put("S", "0") + put("f", "0"), "w"),
    "its tile is written, then its place": (put("S", "0") + get("S", "8") + put("f", "0"), "rw"),
    "each iteration has a place": (loop(get("S", "k * 8") + put("S", "k * 8")), "rr"),
    "iterations share a place": (loop(get("S", "k * 8") + put("S", "0")), "rwr"),
    "who knows": (loop(get("S", "k * 8") + put("S", "k * k")), "rwr"),
    "the place of an earlier iteration": (loop(put("f", "k * 8 - 8") + get("S", "k * 8") + put("S", "k * 8")), "wr"),
    "two loops, one place": (loop(put("S", "k * 8")) + loop(put("T", "k * 8")), "wr"),
    "outer and inner": (f"for j in 2 {{\n{loop(put('S', 'k * 8') + get('T', 'k * 8'))}}}\n", "wr"),
    "a loop beside": (loop(get("S", "k * 8") + "for q in 2 {\ncopy S -> f\n}\n" + put("S", "k * 8")), "rr"),
    "what a variable says": (
        "alloc v: var index = 0\n" + put("S", "v * 8") + "v = v + 1\n" + put("T", "v * 8 - 8"),
        "wr",
    ),
    "a branch": (when("n < 3", put("S", "0")) + put("T", "0"), "wr"),
    "a condition": (put("S", "0") + when("C[0, 0] < float16(9.0)", put("T", "8")), "wr"),
    "left half-way": (loop(put("S", "k * 8") + when("k == n", "break\n") + get("S", "k")) + get("S", "3"), "rr"),
    "an iteration left half-way": (
        loop(get("S", "k") + put("S", "k * 8") + when("k == n", "continue\n") + get("S", "k + 1")),
        "rrr",
    ),
    "updates of two places": (update("add", "S", "0") + update("max", "T", "8"), "r"),
    "two updates of one place": (update("add", "S", "0") + update("add", "T", "0"), "wr"),
    "an update of what is stored": (put("S", "0") + update("min", "T", "0"), "wr"),
    "a store to what is updated": (update("add", "S", "0") + put("T", "0"), "wr"),
    "an update is read back": (update("add", "S", "0") + get("f", "4", "C") + put("f", "0", "D"), "w"),
    "an update by threads": (update("add", "S", "0") + "atomic(add) T -> C[0 : 8, 0 : 8]\n", "w"),
    "each iteration updates a place": (loop(get("S", "k * 8") + update("add", "S", "k * 8")), "rr"),
    # A wait that the second iteration adds makes one of the first needless, so that T is in flight at the third.
    "waits that take turns": (
        loop(
            get("T", "k")
            + put("S", "k * 8")
            + get("U", "k")
            + put("T", "k * 8", "D")
            + get("S", "k")
            + put("U", "k * 8 + 32")
        ),
        "rrr",
    ),
}


@pytest.mark.parametrize(("body", "waits"), WAITS.values(), ids=WAITS)
def test_waits(body: str, waits: str) -> None:
    before, after = made(body)
    found = [s for s in statements(after) if isinstance(s, AsyncWait)]
    assert "".join("r" if s.sources else "w" for s in found) == waits
    for n in (0, 2, 5):
        expected = results(before, n, "early")
        assert all(results(after, n, mode) == expected for mode in ("early", "late"))


# Who adds, and why it is not the copy engine.
UPDATES = {
    "by the copy engine": (update("add", "S", "0"), ""),
    "minima": (update("min", "S", "0"), ""),
    "not asked for": ("atomic(add) S -> C[0 : 8, 0 : 8]\n", "-"),
    "from registers": (update("add", "f", "0"), "it is from fragment to global memory"),
    "an order": (
        "atomic(add, order=acquire, engine=copies) S -> C[0 : 8, 0 : 8]\n",
        "its order is acquire, and the copy engine has none",
    ),
    "a part of a tile": (
        "atomic(add, engine=copies) S[0 : 4, 0 : 8] -> C[0 : 4, 0 : 8]\n",
        "it moves a part of the tile 'S'",
    ),
    "through a view": (
        f"view V: shared float16[64] of S\n{update('add', 'S', '0')}",
        "'S' is also used through a view",
    ),
    "beside the user's stores": (
        f"{update('add', 'S', '0')}bulk copy T -> C[8 : 8, 0 : 8]\n"
        "async_commit(queue=store)\nasync_wait(pending=0, queue=store)",
        "the kernel waits for stores of the copy engine by itself",
    ),
}
TYPES = {
    "float32": ("float32", "max"),
    "int64": ("int64", "add"),
    "int16": ("int16", "add"),
}


@pytest.mark.parametrize(("body", "why"), UPDATES.values(), ids=UPDATES)
def test_updates_by_the_copy_engine_where_they_are_asked_for(body: str, why: str) -> None:
    before, after = made(body)
    (s,) = (s for s in statements(after) if isinstance(s, Atomic))
    assert s.bulk == (not why)
    notes = [f"atomic {s.op} to C at line {s.span.line} by threads: {why}"] if why not in ("", "-") else []
    assert list(after.launches[0].notes) == notes
    assert all(results(after, 0, mode) == results(before, 0, "early") for mode in ("early", "late"))


def test_a_tile_that_does_not_lie_in_boxes_is_stored_by_threads_and_a_note_says_why() -> None:
    @tiledsl.kernel
    def padded(A: T.Tensor((64, 64), "float16"), out: T.Tensor((64, 64), "float16"), row: int = 72):
        with T.Kernel(1, threads=128):
            s = T.alloc_shared((64, 64), "float16")
            T.annotate_layout({s: T.Layout((64, 64), lambda i, j: i * row + j)})
            for _ in T.Pipelined(2, num_stages=1):
                T.copy(A, s)
                for i, j in T.Parallel(64, 64):
                    s[i, j] = s[i, j] + 1
                T.copy(s, out)

    def notes(row: int) -> list[str]:
        lowered = padded.compile(target="sm_90a", row=row).lowered
        assert ("bulk_store(" in lowered.source.text) == (row == 64)
        return [n for n in lowered.final.launches[0].notes if "to out" in n]

    assert notes(64) == []
    (note,) = notes(72)
    assert note.endswith("by the threads, as its boxes begin at multiples of 16 bytes, not of 128")


@pytest.mark.parametrize(("dtype", "op"), TYPES.values(), ids=TYPES)
def test_types_that_the_copy_engine_cannot_combine(dtype: str, op: str) -> None:
    body = FRAME.replace("float16", dtype).format(body=update(op, "S", "0"))
    (note,) = bulk_stores(parse(body), target=SM90).launches[0].notes
    assert note.endswith(f"the copy engine has no {op} of {dtype}")


def test_other_targets_have_no_copy_engine() -> None:
    kernel, _ = made(update("add", "S", "0"))
    after = bulk_stores(kernel, target=target_named("sm_80"))
    assert after == kernel
    (note,) = after.launches[0].notes
    assert note.endswith("by threads: sm_80 has no copy engine")


def test_groups_of_the_user_stay_his() -> None:
    mine = "bulk copy S -> C[0 : 8, 0 : 8]\nasync_commit(queue=store)\n"
    before, after = made(f"{mine}{put('T', '8')}async_wait(pending=0, queue=store, sources)")
    assert after == before
    _, once = made(put("S", "0"))
    assert bulk_stores(once, target=SM90) == once


def test_roles_wait_for_results_if_something_follows() -> None:
    roles = "roles {{\nrole a(first=0, threads=128) r {{\n{}}}\n}}\n".format(put("S", "0"))
    for body, waits in ((roles, "r"), (put("T", "0") + roles, "wr"), (roles + get("f", "0", "C"), "w")):
        _, after = made(body)
        found = [s for s in statements(after) if isinstance(s, AsyncWait)]
        assert "".join("r" if s.sources else "w" for s in found) == waits
        assert any(isinstance(s, Copy) and s.bulk for s in statements(after))


# After a store of S to C a role tells of it (!); what another role does; and the waits, as above.
MEET = "cluster_barrier(part=arrive)\ncluster_barrier(part=wait)\n"
TOLD = {
    "the tile is overwritten": ("arrive bar[0]\n", get("S", "8"), "r!"),
    "the tile is only read": ("arrive bar[0]\n", "copy S -> g\n", "!r"),
    "the result is read": ("arrive bar[0]\n", "copy C[0 : 8, 0 : 8] -> g\n", "w!"),
    "something else is done": ("arrive bar[0]\n", get("T", "8"), "!r"),
    "another role meets it": ("barrier(id=1, count=256)\n", get("S", "8"), "r!"),
    "in a loop": (loop("arrive bar[0]\n" + put("S", "k * 8", "D")), get("S", "8"), "r!r"),
    "the compiler tells of another tile": ("arrive bar[0] of T\n", get("T", "8"), "!r"),
    "the compiler tells of this one": ("arrive bar[0] of S\n", get("S", "8"), "r!"),
    "other blocks are told": ("arrive(ranks=2) bar[0]\n", "", "w!"),
    "the cluster meets": ("cluster_barrier\n", "cluster_barrier\n", "w!"),
    "the cluster meets in parts": (MEET, MEET, "w!!"),
    "the cluster sees nothing": (MEET.replace("arrive", "arrive_relaxed"), MEET, "r!!"),
}


def shown(s: Stmt) -> str:
    match s:
        case AsyncWait(sources=sources):
            return "r" if sources else "w"
        case Arrive() | Barrier() | ClusterBarrier():
            return "!"
    return ""


@pytest.mark.parametrize(("tells", "other", "waits"), TOLD.values(), ids=TOLD)
def test_who_is_told_of_a_store_may_rely_on_it(tells: str, other: str, waits: str) -> None:
    a = f"role a(first=0, threads=128) r {{\n{put('S', '0')}{tells}}}\n"
    b = f"role b(first=128, threads=128) q {{\nalloc g: fragment float16[8, 8]\n{other}}}\n"
    body = f"alloc bar: barrier uint64[1] = 128\nroles {{\n{a}{b}}}\n"
    source = FRAME.format(body=body).replace("bx in 1) threads(t in 128)", "bx in 2) threads(t in 256) cluster(2)")
    after = bulk_stores(parse(source), target=SM90)
    (role,) = (r for s in statements(after) if isinstance(s, Roles) for r in s.roles if r.name == "a")
    assert "".join(map(shown, statements(role))) == waits


def handed_over() -> Any:
    """A role stores tiles that another fills; the barriers are the user's."""

    @tiledsl.kernel(target="sm_90a")
    def kernel(A: T.Tensor((3, 64, 64), "float16"), C: T.Tensor((3, 64, 64), "float16")) -> None:
        with T.Kernel(1, threads=256):
            S = T.alloc_shared((64, 64), "float16")
            full, free = T.alloc_barrier(128), T.alloc_barrier(128)
            for k in T.serial(3):
                with T.ws(0):
                    T.barrier_wait(free, (k + 1) % 2)
                    T.tma_copy(A[k, 0, 0], S, barrier=full)
                    T.barrier_arrive(full)
                with T.ws(1):
                    T.barrier_wait(full, k % 2)
                    T.copy(S, C[k, 0, 0])
                    T.barrier_arrive(free)

    return kernel, (3, 64, 64), lambda a: a


def passed_on() -> Any:
    """Blocks of a cluster read what the next one stored, when they have met."""

    @tiledsl.kernel(target="sm_90a")
    def kernel(A: T.Tensor((2, 64, 64), "float16"), C: T.Tensor((2, 64, 64), "float16")) -> None:
        W = T.alloc_global((2, 64, 64), "float16")
        with T.Kernel(2, threads=128, cluster_dims=2) as b:
            S, R = T.alloc_shared((64, 64), "float16"), T.alloc_shared((64, 64), "float16")
            T.copy(A[b, 0, 0], S)
            T.copy(S, W[b, 0, 0])
            T.cluster_sync()
            T.copy(W[1 - b, 0, 0], R)
            T.copy(R, C[b, 0, 0])

    return kernel, (2, 64, 64), lambda a: a[::-1]


@pytest.mark.parametrize("program", [handed_over, passed_on])
def test_programs_in_which_others_rely_on_a_store(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(mode: str) -> bool:
        kernel, shape, reference = program()
        a = np.random.default_rng(0).integers(0, 99, shape).astype(np.float16)
        arrays = {"A": a, "C": np.zeros_like(a), "W": np.zeros_like(a)}
        interp.run(kernel.compile().lowered.final, arrays, mode=mode)
        return bool((arrays["C"] == reference(a)).all())

    assert run("early") and run("late")
    monkeypatch.setattr("tiledsl.passes.bulk_stores._Writer.told", lambda self, s, pending: ((), pending))
    try:
        assert not run("late")
    except TileError as found:
        assert found.code == "TD0861"
