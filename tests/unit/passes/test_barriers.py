"""Where barriers go, and where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from tiledsl.cpu import interp
from tiledsl.errors import Span, TileError
from tiledsl.ir.dtypes import FLOAT32, INDEX, INT32
from tiledsl.ir.nodes import (
    Alloc,
    AsyncCommit,
    AsyncWait,
    AtomicUpdate,
    Barrier,
    Binary,
    Block,
    Break,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Load,
    Select,
    SharedSlot,
    Space,
    Stmt,
    Store,
    Var,
    While,
    lt,
)
from tiledsl.ir.walk import walk
from tiledsl.passes.insert_barriers import insert_barriers, make_barrier_plan

N = 64
T, BX = Var("tx"), Var("bx")
S = Buffer("S", (N,), FLOAT32, Space.SHARED)
S3 = Buffer("S3", (N,), FLOAT32, Space.SHARED, versions=3)
R = Buffer("r", (1,), FLOAT32, Space.LOCAL)
A, OUT = Buffer("A", (N,), FLOAT32), Buffer("out", (N,), FLOAT32)
ZERO = Const(0.0, FLOAT32)


def kernel(*body: Stmt, slots: tuple[SharedSlot, ...] = (), params: tuple[Buffer | Var, ...] = ()) -> Kernel:
    start = (Alloc(S), Alloc(S3), Alloc(R), Store(R, (Const(0),), ZERO))
    launch = Launch("k", (Const(2),), (BX,), (N,), T, (*start, *body), shared=slots, shared_bytes=4096)
    return Kernel("k", (A, OUT, *params), (launch,))


def shape(block: Block) -> list[object]:
    """The block with barriers and what contains some spelled out, everything else as a dot."""
    out: list[object] = []
    for s in block:
        match s:
            case Barrier():
                out.append("barrier")
            case For(body=body) | While(body=body):
                out.append(shape(body))
            case If(_, then, orelse):
                out.append((shape(then), shape(orelse)))
            case _:
                out.append(".")
    return out


def result(*body: Stmt, **options: object) -> list[object]:
    (launch,) = insert_barriers(kernel(*body, **options)).launches  # type: ignore[arg-type]
    return shape(launch.body)[4:]


def write(at: Expr = T, to: Buffer = S, version: Expr | None = None) -> Stmt:
    return Store(to, (at,), Load(R, (Const(0),)), version)


def read(at: Expr, of: Buffer = S, version: Expr | None = None) -> Stmt:
    return Store(R, (Const(0),), Load(of, (at,), version))


OTHER = Const(N - 1) - T


def test_own_elements_need_no_barrier() -> None:
    assert result(write(T), read(T), write(T)) == [".", ".", "."]


def test_other_threads_elements_do() -> None:
    assert result(write(T), read(OTHER)) == [".", "barrier", "."]
    assert result(read(OTHER), write(T)) == [".", "barrier", "."]


@pytest.mark.parametrize("huge", [1 << 32, -(1 << 63), (1 << 64) + 1])
def test_indices_of_huge_numbers_may_be_any(huge: int) -> None:
    """They are in no table of 64 bits, so that every element may be meant."""
    assert result(write(), read(T % Const(huge, INDEX))) == [".", "barrier", "."]
    assert result(write(), read(T + Const(huge, INDEX))) == [".", "barrier", "."]


def test_writes_of_different_threads_are_ordered() -> None:
    assert result(write(T), write(OTHER)) == [".", "barrier", "."]


def test_one_barrier_serves_several_conflicts_and_existing_ones_count() -> None:
    other = Buffer("S", (N,), FLOAT32, Space.SHARED)
    assert result(Alloc(other), write(T), write(T, other), read(OTHER), read(OTHER, other)) == [
        *(".", ".", "."),
        *("barrier", ".", "."),
    ]
    assert result(write(T), Barrier(), read(OTHER)) == [".", "barrier", "."]


def test_atomics_do_not_conflict_with_atomics() -> None:
    counts = Buffer("counts", (4,), INT32, Space.SHARED)
    add = AtomicUpdate("add", counts, (T % 4,), Const(1, INT32))
    note = Store(R, (Const(0),), Cast(FLOAT32, Load(counts, (Const(0),))))
    assert result(Alloc(counts), add, add, note) == [".", ".", ".", "barrier", "."]


def test_halves_that_do_not_meet() -> None:
    low, high = If(lt(T, 32), (write(T),)), If(lt(31, T), (write(T),))
    assert result(low, high) == [(["."], []), (["."], [])]
    assert result(If(lt(T, 32), (write(T + 32),)), read(T)) == [(["."], []), "barrier", "."]


def test_what_is_not_evaluated_touches_nothing() -> None:
    """A thread beyond the end, whose load is not chosen, does not exchange data with the owner of the last element."""
    inside = lt(T, N - 1)
    chosen = Store(R, (Const(0),), Select(inside, Load(S, (T + 1,)), ZERO))
    assert result(If(lt(T, 1), (write(T),)), chosen) == [(["."], []), "."]
    assert result(If(lt(31, T), (write(T),)), chosen) == [(["."], []), "barrier", "."]
    under = If(Binary("and", lt(T, 1), lt(ZERO, Load(S, (T,)))), ())
    assert result(write(T), under) == [".", ([], [])]
    assert result(If(lt(0, T), (write(T),)), under) == [(["."], []), ([], [])]
    assert result(write(OTHER), under) == [".", "barrier", ([], [])]


def test_no_barrier_under_a_divergent_branch() -> None:
    assert result(write(T), If(lt(T, 40), (read(OTHER),))) == [".", "barrier", (["."], [])]


def test_exchange_under_a_divergent_branch_is_an_error() -> None:
    branch = If(lt(T, 40), (write(T), Store(R, (Const(0),), Load(S, (OTHER,)), span=Span("k.py", 7, 0, 7, 9))))
    with pytest.raises(TileError) as raised:
        result(branch)
    assert raised.value.code == "TD0502" and raised.value.span.line == 7


def test_one_statement_needs_no_barrier_within_it_under_a_branch_either() -> None:
    """`if i < n: s[i] = s[i] + s[i + n]`: no barrier can stand between a statement's reads and its write."""
    v = Buffer("v", (), INT32, Space.VAR)
    n = Cast(INDEX, Load(v, ()))
    fold = Store(S, (T,), Binary("+", Load(S, (T,)), Load(S, (T + n,))))
    start = (Alloc(v), Store(v, (), Const(32, INT32)))
    assert result(*start, fold) == [".", ".", "."]
    assert result(*start, If(lt(T, n), (fold,))) == [".", ".", (["."], [])]
    assert result(*start, While(lt(0, n), (If(lt(T, n), (fold,)),))) == [".", ".", ["barrier", (["."], [])]]
    with pytest.raises(TileError):
        result(*start, If(lt(T, n), (For(Var("k"), Const(2), (fold,)),)))


def test_barriers_under_uniform_branches() -> None:
    assert result(If(lt(BX, 1), (write(T), read(OTHER)))) == [([".", "barrier", "."], [])]
    assert result(If(lt(BX, 1), (write(T),), (read(OTHER),)), read(OTHER)) == [(["."], ["."]), "barrier", "."]


def test_loops_are_synchronised_around_the_corner() -> None:
    k = Var("k")
    assert result(For(k, Const(4), (write(T), read(OTHER)))) == [["barrier", ".", "barrier", "."]]
    assert result(For(k, Const(1), (write(T), read(OTHER)))) == [[".", "barrier", "."]]


def test_s12_versions_tell_iterations_apart() -> None:
    k = Var("k")
    ahead = (write(T, S3, (k + 1) % 3), read(OTHER, S3, k % 3))
    first = write(T, S3, Const(0))
    # One barrier between write k+1 and its read an iteration later; the third version keeps the reuse further away.
    loop = result(first, For(k, Const(6), ahead))[1]
    assert isinstance(loop, list) and loop.count("barrier") == 1
    two = Buffer("S2", (N,), FLOAT32, Space.SHARED, versions=2)
    tight = (write(T, two, (k + 1) % 2), read(OTHER, two, k % 2))
    assert result(Alloc(two), write(T, two, Const(0)), For(k, Const(6), tight)) == [".", ".", ["barrier", ".", "."]]


def test_far_reuse_of_a_version_is_seen() -> None:
    """Of four versions one is read and the one after the next written: iterations k and k + 2 meet."""
    ring, k = Buffer("S4", (N,), FLOAT32, Space.SHARED, versions=4), Var("k")
    body = (read(OTHER, ring, (k + 2) % 4), write(T, ring, k % 4))
    assert result(Alloc(ring), For(k, Const(2), body))[1] == [".", "."]
    loop = result(Alloc(ring), For(k, Const(9), body))[1]
    assert isinstance(loop, list) and loop.count("barrier") == 1


def test_a_wait_is_followed_by_a_barrier_where_others_read() -> None:
    issue = Store(S, (T,), Load(A, (T,)), asynchronous=True)
    group = (issue, AsyncCommit(), AsyncWait(0))
    assert result(*group, read(OTHER)) == [".", ".", ".", "barrier", "."]
    assert result(*group, read(T)) == [".", ".", ".", "."]


def multistage(stages: int, fused: bool) -> tuple[Stmt, ...]:
    """Copies `stages - 1` iterations ahead, as the pipeline writes them out."""
    ring = Buffer("ring", (N,), FLOAT32, Space.SHARED, versions=stages)
    k, ahead = Var("k"), stages - 1

    def issue(version: Expr) -> tuple[Stmt, ...]:
        return Store(ring, (T,), Load(A, (T,)), version, asynchronous=True), AsyncCommit()

    prologue = [s for v in range(ahead) for s in issue(Const(v))]
    use = read(OTHER, ring, k % stages)
    refill = issue((k + ahead) % stages)
    body = (AsyncWait(ahead - 1), *refill, use) if fused else (*refill, AsyncWait(ahead), use)
    return (Alloc(ring), *prologue, For(k, Const(8), body), AsyncWait(0))


@pytest.mark.parametrize("stages", [2, 3, 4])
def test_the_fused_main_loop_has_one_barrier(stages: int) -> None:
    loop = result(*multistage(stages, fused=True))[-2]
    assert loop == [".", "barrier", ".", ".", "."]
    unfused = result(*multistage(stages, fused=False))[-2]
    assert isinstance(unfused, list) and unfused.count("barrier") == 2


def test_different_buffers_in_the_same_bytes_conflict() -> None:
    other = Buffer("S'", (N,), FLOAT32, Space.SHARED)
    body = (Alloc(other), read(OTHER), write(T, other))
    apart = (SharedSlot(S, 0), SharedSlot(other, 256), SharedSlot(S3, 512))
    same = (SharedSlot(S, 0), SharedSlot(other, 0), SharedSlot(S3, 512))
    assert result(*body, slots=apart) == [".", ".", "."]
    assert result(*body, slots=same) == [".", ".", "barrier", "."]
    half = (SharedSlot(S, 0), SharedSlot(other, 128), SharedSlot(S3, 512))
    upper = If(lt(31, T), (write(T, other),))
    assert result(Alloc(other), read(T), If(lt(T, 1), (read(T),)), upper, slots=half) == [
        *(".", ".", (["."], [])),
        (["."], []),
    ]


def test_unknown_places_may_be_any() -> None:
    loaded = Cast(INDEX, Load(A, (T,)))
    assert result(write(T), read(loaded)) == [".", "barrier", "."]


def test_leaving_a_loop_early_skips_the_barriers_behind() -> None:
    k = Var("k")
    body = (read(OTHER), If(lt(k, 2), (Break(),)), write(T))
    out = insert_barriers(kernel(write(T), For(k, Const(4), body), write(T)))
    given = {"A": np.zeros(N, np.float32), "out": np.zeros(N, np.float32)}
    interp.run(out, given)
    assert isinstance(out.launches[0].body[-2], Barrier)


def test_the_plan_says_why() -> None:
    place = [Span("k.py", n, 0, n, 5) for n in (3, 4)]
    body = (Store(S, (T,), ZERO, span=place[0]), Store(R, (Const(0),), Load(S, (OTHER,)), span=place[1]))
    source = kernel(*body)
    plan = make_barrier_plan(source, source.launches[0])
    assert str(plan) == "before 5:\n    read after write of 'S': store at line 3, then store at line 4"
    assert str(make_barrier_plan(source, insert_barriers(source).launches[0])) == "no barriers"


def test_dynamic_loops_that_may_not_run_let_conflicts_pass() -> None:
    n, k = Var("n"), Var("k")
    loop = For(k, n, (Barrier(), read(T)))
    assert result(write(T), loop, read(OTHER), params=(n,)) == [".", ["barrier", "."], "barrier", "."]


def test_every_barrier_of_the_examples_here_is_needed() -> None:
    source = kernel(*multistage(3, fused=True), Store(OUT, (T,), Load(R, (Const(0),))))
    out = insert_barriers(source)
    given = {"A": np.arange(N, dtype=np.float32), "out": np.zeros(N, np.float32)}
    interp.run(out, given, mode="late")
    with pytest.raises(TileError) as raised:
        interp.run(source, given, mode="late")
    assert raised.value.code in ("TD0804", "TD0805")
    assert sum(isinstance(n, Barrier) for n in walk(out)) == 1
