"""Random tile programs through layout inference: every result is checked by brute force (I1, I4-I7, I14, I16)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import strategies as st

from tiledsl.cpu import interp, tile_interp
from tiledsl.errors import TileError
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.nodes import (
    Alloc,
    Buffer,
    Kernel,
    Space,
    Stmt,
    Store,
    static_shape,
)
from tiledsl.ir.tile import Copy, Gemm, Parallel
from tiledsl.ir.walk import replace_buffers, walk
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.infer_layouts import infer_layouts, layouts_of
from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.tiles import kernel, tile_bodies, whole
from tiledsl.verifiers.layouts import verify_layouts

SM80 = target_named("sm_80")
# What a random program may run into; anything else is a bug.
LEGITIMATE = {"TD0301", "TD0303", "TD0305", "TD0317", "TD0318"}


def inferred(k: Kernel) -> Kernel | str:
    """The checked result, or the code of the error."""
    try:
        result: Kernel = infer_layouts.run(k, target=SM80)
        verify_layouts(result)
        return result
    except TileError as raised:
        assert raised.code in LEGITIMATE, raised
        return raised.code


def by_name(k: Kernel | str) -> str | tuple[dict[str, Fragment | Layout], list[Fragment | None]]:
    if isinstance(k, str):
        return k
    table: dict[str, Fragment | Layout] = {b.name: x for b, x in layouts_of(k.launches[0]).items()}
    return table, [s.layout for s in k.launches[0].body if isinstance(s, Parallel)]


@law("I4", "I5", "I6", "I7", examples=120, program=tile_bodies())
def every_accepted_program_has_consistent_layouts(program: tuple[int, tuple[Stmt, ...]]) -> None:
    inferred(kernel(*program))


@law("I10", program=tile_bodies())
def inference_of_its_own_result_changes_nothing(program: tuple[int, tuple[Stmt, ...]]) -> None:
    first = inferred(kernel(*program))
    if isinstance(first, Kernel):
        again: Kernel = infer_layouts.run(first, target=SM80)
        assert by_name(again) == by_name(first)


@law("I11", program=tile_bodies())
def results_do_not_depend_on_identity_or_names(program: tuple[int, tuple[Stmt, ...]]) -> None:
    threads, body = program
    k = kernel(threads, body)
    buffers = {r for s in _regions(body) for r in s}
    fresh = {b: replace(b, name=b.name) for b in buffers}
    renamed = {b: replace(b, name=f"q{b.name}"[::-1]) for b in buffers}
    expected = by_name(inferred(k))
    assert by_name(inferred(replace_buffers(k, fresh))) == expected
    found = by_name(inferred(replace_buffers(k, renamed)))
    if isinstance(found, str) or isinstance(expected, str):
        assert found == expected
    else:
        back = {new.name: old.name for old, new in renamed.items()}
        table, loops = found
        assert ({back[name]: x for name, x in table.items()}, loops) == expected


def _regions(body: tuple[Stmt, ...]) -> list[set[Buffer]]:
    return [{n for n in walk(s) if isinstance(n, Buffer)} for s in body]


@law("I2", program=tile_bodies())
def strict_layouts_are_those_of_the_instruction(program: tuple[int, tuple[Stmt, ...]]) -> None:
    threads, body = program
    result = inferred(kernel(threads, body))
    gemms = [s for s in body if isinstance(s, Gemm)]
    if isinstance(result, Kernel) and gemms:
        alone = inferred(kernel(threads, (gemms[0],)))
        assert isinstance(alone, Kernel)
        c = gemms[0].c.buffer
        assert layouts_of(result.launches[0])[c] == layouts_of(alone.launches[0])[c]


@law("I12", program=tile_bodies(), random=st.randoms(use_true_random=False))
def acceptance_does_not_depend_on_the_order_of_statements(
    program: tuple[int, tuple[Stmt, ...]], random: Random
) -> None:
    threads, body = program
    shuffled = list(body)
    random.shuffle(shuffled)
    first, second = inferred(kernel(threads, body)), inferred(kernel(threads, tuple(shuffled)))
    assert isinstance(first, str) == isinstance(second, str)
    if isinstance(first, Kernel) and isinstance(second, Kernel):
        for s in body:
            if isinstance(s, Gemm):
                assert layouts_of(first.launches[0])[s.c.buffer] == layouts_of(second.launches[0])[s.c.buffer]


@law("I19", "I22", program=tile_bodies())
def registers_are_those_of_the_layouts(program: tuple[int, tuple[Stmt, ...]]) -> None:
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
    arrays = {b.name: draw.integers(-2, 3, static_shape(b)).astype(b.dtype.numpy) for b in params}
    return replace(kernel(threads, (*before, *body, *after)), params=tuple(params)), arrays


@law("S1", examples=25, program=tile_bodies())
def random_programs_compute_the_same_before_and_after(program: tuple[int, tuple[Stmt, ...]]) -> None:
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


LAWS = laws_of(globals())
