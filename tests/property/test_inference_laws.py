"""Random tile programs through layout inference: every result is checked by brute force (I1, I4-I7, I14, I16)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tiledsl.analysis.gemm_plan import warp_partitions
from tiledsl.cpu import interp, tile_interp
from tiledsl.errors import TileError
from tiledsl.ir.dtypes import FLOAT16, FLOAT32
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.nodes import (
    Alloc,
    Assigned,
    Binary,
    Buffer,
    Const,
    Kernel,
    Launch,
    Load,
    Region,
    Space,
    Stmt,
    Store,
    Var,
)
from tiledsl.ir.tile import Copy, Fill, Gemm, Parallel, Reduce
from tiledsl.ir.walk import replace_buffers, walk
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.infer_layouts import infer_layouts, layouts_of
from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named

SM80 = target_named("sm_80")
# What a random program may run into; anything else is a bug.
LEGITIMATE = {"TD0301", "TD0303", "TD0305", "TD0317"}


def whole(b: Buffer) -> Region:
    return Region(b, tuple(Const(0) for _ in b.shape), tuple(e for e in b.shape if isinstance(e, int)))


KINDS = ("in", "out", "fill", "map", "broadcast", "reduce", "fuse", "turn", "row", "gemm", "gemm")


@st.composite
def programs(
    draw: st.DrawFn, kinds: tuple[str, ...] = KINDS, rows: tuple[int, ...] = (64, 1, 16, 24, 40, 32, 64)
) -> tuple[int, tuple[Stmt, ...]]:
    """(threads, body): 2 to 7 statements over a few matrices, rows and columns of one shape."""
    threads = draw(st.sampled_from((32, 64, 96, 128, 256)))
    m, n = draw(st.sampled_from(rows)), draw(st.sampled_from((64, 1, 8, 24, 40, 64)))
    matrices = [Buffer(f"x{i}", (m, n), FLOAT32, Space.FRAGMENT) for i in range(3)]
    by_row = [Buffer(f"r{i}", (m,), FLOAT32, Space.FRAGMENT) for i in range(2)]
    columns = [Buffer(f"c{i}", (n,), FLOAT32, Space.FRAGMENT) for i in range(2)]
    flat = Buffer("flat", (m * n,), FLOAT32, Space.FRAGMENT)
    turned = Buffer("turned", (n, m), FLOAT32, Space.FRAGMENT)
    outside = Buffer("G", (m, n), draw(st.sampled_from((FLOAT16, FLOAT32))))

    def statement() -> Stmt:
        i, j = Var("i"), Var("j")
        kind = draw(st.sampled_from(kinds))
        x, y = draw(st.sampled_from(matrices)), draw(st.sampled_from(matrices))
        r, c = draw(st.sampled_from(by_row)), draw(st.sampled_from(columns))
        dim = draw(st.integers(0, 1))
        match kind:
            case "in":
                return Copy(whole(outside), whole(x))
            case "out":
                return Copy(whole(x), whole(outside))
            case "fill":
                return Fill(whole(draw(st.sampled_from((x, r, c, flat, turned)))), Const(0.0, FLOAT32))
            case "map":
                value = Binary("+", Load(x, (i, j)), Load(y, (i, j)))
                return Parallel((i, j), (m, n), (Store(y, (i, j), value),))
            case "broadcast":
                value = Binary("*", Load(r, (i,)), Load(c, (j,)))
                return Parallel((i, j), (m, n), (Store(x, (i, j), value),))
            case "reduce":
                return Reduce(whole(x), whole(c if dim == 0 else r), "sum", dim)
            case "fuse":
                return Parallel((i,), (m * n,), (Store(flat, (i,), Load(x, (i // n, i % n))),))
            case "turn":
                return Parallel((i, j), (n, m), (Store(turned, (i, j), Load(x, (j, i))),))
            case "row":
                return Parallel((i,), (m,), (Store(r, (i,), Load(by_row[0], (i,))),))
            case _ if not warp_partitions((m, n), (16, 8), threads // 32):
                return Fill(whole(c), Const(1.0, FLOAT32))
            case _:
                a = Buffer("a", (m, 16), FLOAT16, Space.SHARED)
                b = Buffer("b", (16, n), FLOAT16, Space.SHARED)
                return Gemm(
                    whole(a), whole(b), whole(x), policy=draw(st.sampled_from(("square", "full_row", "full_col")))
                )

    return threads, tuple(statement() for _ in range(draw(st.integers(2, 7))))


def kernel(threads: int, body: tuple[Stmt, ...], layouts: tuple[Assigned, ...] = ()) -> Kernel:
    return Kernel("k", (), (Launch("k", (Const(1),), (Var("b"),), (threads,), Var("t"), body, layouts),))


def inferred(k: Kernel) -> Kernel | str:
    """The checked result, or the code of the error."""
    try:
        result: Kernel = infer_layouts.run(k, target=SM80, check=True)
        return result
    except TileError as raised:
        assert raised.code in LEGITIMATE, raised
        return raised.code


def by_name(k: Kernel | str) -> object:
    if isinstance(k, str):
        return k
    table: dict[str, Fragment | Layout] = {b.name: x for b, x in layouts_of(k.launches[0]).items()}
    return table, [s.layout for s in k.launches[0].body if isinstance(s, Parallel)]


@settings(max_examples=120)
@given(programs())
def test_I4_I5_I6_I7_every_accepted_program_has_consistent_layouts(program: tuple[int, tuple[Stmt, ...]]) -> None:
    result = inferred(kernel(*program))
    event(result if isinstance(result, str) else "accepted")


def test_most_random_programs_are_accepted() -> None:
    """The law above must not hold because everything is refused."""
    outcomes: Counter[str] = Counter()

    @settings(max_examples=100, database=None)
    @given(programs())
    def run(program: tuple[int, tuple[Stmt, ...]]) -> None:
        result = inferred(kernel(*program))
        outcomes[result if isinstance(result, str) else "accepted"] += 1

    run()
    assert outcomes["accepted"] > 0.5 * outcomes.total(), outcomes


@given(programs())
def test_I10_inference_of_its_own_result_changes_nothing(program: tuple[int, tuple[Stmt, ...]]) -> None:
    first = inferred(kernel(*program))
    if isinstance(first, Kernel):
        again: Kernel = infer_layouts.run(first, target=SM80)
        assert by_name(again) == by_name(first)


@given(programs())
def test_I11_results_do_not_depend_on_identity_or_names(program: tuple[int, tuple[Stmt, ...]]) -> None:
    threads, body = program
    k = kernel(threads, body)
    buffers = {r for s in _regions(body) for r in s}
    fresh = {b: replace(b, name=b.name) for b in buffers}
    renamed = {b: replace(b, name=f"q{b.name}"[::-1]) for b in buffers}
    expected = by_name(inferred(k))
    assert by_name(inferred(replace_buffers(k, fresh))) == expected
    other = inferred(replace_buffers(k, renamed))
    if isinstance(other, str) or isinstance(expected, str):
        assert other == expected
    else:
        back = {new.name: old.name for old, new in renamed.items()}
        table, loops = by_name(other)  # type: ignore[misc]
        assert ({back[name]: x for name, x in table.items()}, loops) == expected


def _regions(body: tuple[Stmt, ...]) -> list[set[Buffer]]:
    return [{n for n in walk(s) if isinstance(n, Buffer)} for s in body]


@given(programs())
def test_I2_strict_layouts_are_those_of_the_instruction(program: tuple[int, tuple[Stmt, ...]]) -> None:
    threads, body = program
    result = inferred(kernel(threads, body))
    gemms = [s for s in body if isinstance(s, Gemm)]
    if isinstance(result, Kernel) and gemms:
        alone = inferred(kernel(threads, (gemms[0],)))
        assert isinstance(alone, Kernel)
        c = gemms[0].c.buffer
        assert layouts_of(result.launches[0])[c] == layouts_of(alone.launches[0])[c]


@given(programs(), st.randoms(use_true_random=False))
def test_I12_acceptance_does_not_depend_on_the_order_of_statements(program, random) -> None:
    threads, body = program
    shuffled = list(body)
    random.shuffle(shuffled)
    first, second = inferred(kernel(threads, body)), inferred(kernel(threads, tuple(shuffled)))
    assert isinstance(first, str) == isinstance(second, str)
    if isinstance(first, Kernel) and isinstance(second, Kernel):
        for s in body:
            if isinstance(s, Gemm):
                assert layouts_of(first.launches[0])[s.c.buffer] == layouts_of(second.launches[0])[s.c.buffer]


@given(programs())
def test_I19_I22_registers_are_those_of_the_layouts(program: tuple[int, tuple[Stmt, ...]]) -> None:
    """A loop touches each register of a fragment that it walks point by point once: no thread-dependent indices."""
    result = inferred(kernel(*program))
    if isinstance(result, Kernel):
        table = layouts_of(result.launches[0])
        for s in result.launches[0].body:
            if isinstance(s, Parallel) and isinstance(s.body[0], Store) and s.body[0].indices == s.vars:
                f = table.get(s.body[0].buffer)
                if isinstance(f, Fragment) and s.layout is not None:
                    assert f.num_regs == s.layout.num_regs


def complete(threads: int, body: tuple[Stmt, ...]) -> tuple[Kernel, dict[str, np.ndarray]]:
    """The program with every tile loaded from a tensor of its own first and every fragment stored at the end."""
    used = dict.fromkeys(n for s in body for n in walk(s) if isinstance(n, Buffer))
    params = [b for b in used if b.space is Space.GLOBAL]
    before: list[Stmt] = []
    after: list[Stmt] = []
    for i, b in enumerate(b for b in used if b.space is not Space.GLOBAL):
        source, result = Buffer(f"in{i}", b.shape, b.dtype), Buffer(f"out{i}", b.shape, b.dtype)
        params += [source, result]
        before += [Alloc(b), Copy(whole(source), whole(b))]
        after.append(Copy(whole(b), whole(result)))
    draw = np.random.default_rng(0)
    arrays = {b.name: draw.integers(-2, 3, b.shape).astype(b.dtype.numpy) for b in params}
    return replace(kernel(threads, (*before, *body, *after)), params=tuple(params)), arrays


@settings(max_examples=25)
@given(programs())
def test_S1_random_programs_compute_the_same_before_and_after(program: tuple[int, tuple[Stmt, ...]]) -> None:
    """Whole tiles on one side, what each thread does with its registers on the other: equal bit for bit."""
    k, arrays = complete(*program)
    try:
        lowered = run_pipeline(k, pipeline(SM80))
    except TileError as raised:
        assert raised.code in LEGITIMATE, raised
        return
    tiles = {n: a.copy() for n, a in arrays.items()}
    threads = {n: a.copy() for n, a in arrays.items()}
    tile_interp.run(k, tiles)
    interp.run(lowered, threads)
    for name in arrays:
        np.testing.assert_array_equal(threads[name], tiles[name], err_msg=name)
