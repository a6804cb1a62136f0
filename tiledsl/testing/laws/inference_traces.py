"""How inference comes to its result (algorithms.md E.B): layouts only grow, and what is refused cannot be had."""

from __future__ import annotations

from itertools import islice, product
from math import prod
from typing import Any
from unittest.mock import patch

from tiledsl.analysis.layout_tables import contains
from tiledsl.errors import TileError
from tiledsl.ir.layout import Fragment, fully_replicated
from tiledsl.ir.nodes import Assigned, Buffer, Kernel, Space, Stmt, static_shape
from tiledsl.ir.walk import walk
from tiledsl.passes.infer_layouts import infer_layouts, layouts_of, solver
from tiledsl.passes.infer_layouts.demands import Level
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.laws.inference import LEGITIMATE, SM80, inferred
from tiledsl.testing.strategies.tiles import kernel, tile_bodies
from tiledsl.verifiers.layouts import verify_layouts

MOST_COMBINATIONS = 100


GROWING = tile_bodies(kinds=("gemm", "broadcast", "broadcast", "row", "fill", "reduce"), rows=(64, 32))
CLASHING = tile_bodies(kinds=("gemm", "gemm", "gemm", "map", "reduce", "turn"), rows=(64, 32))


@law("I13", examples=60, program=GROWING)
def owners_only_grow_and_never_of_strict_layouts(program: tuple[int, tuple[Stmt, ...]]) -> None:
    plain = solver._assign
    changes: list[tuple[Any, Any]] = []

    def recorded(problem: Any, state: Any, buffer: Buffer, new: Any) -> list[Buffer]:
        old = state.get(buffer)
        result = plain(problem, state, buffer, new)
        if old is not None and state.get(buffer) is not old:
            changes.append((old, state[buffer]))
        return result

    with patch.object(solver, "_assign", recorded):
        inferred(kernel(*program))
    for old, new in changes:
        if isinstance(old.layout, Fragment):
            assert isinstance(new.layout, Fragment) and contains(new.layout, old.layout)
            assert old.level is not Level.STRICT or contains(old.layout, new.layout)


@law("I20", examples=80, program=CLASHING)
def what_is_refused_has_no_layout_among_those_that_each_statement_would_take(
    program: tuple[int, tuple[Stmt, ...]],
) -> None:
    """Brute force: every fragment as some statement alone has it, or, up to a size, held by every thread; in all
    combinations.
    """
    threads, body = program
    if inferred(kernel(threads, body)) != "TD0301":
        return
    fragments = [b for b in dict.fromkeys(n for s in body for n in walk(s) if isinstance(n, Buffer))]
    fragments = [b for b in fragments if b.space is Space.FRAGMENT]
    choices: dict[Buffer, list[Fragment]] = {b: [] for b in fragments}
    for b in fragments:
        if prod(static_shape(b)) <= solver.MOST_REPLICATED:  # larger ones are for the user to ask for
            choices[b].append(fully_replicated(static_shape(b), threads))
    for s in body:
        alone = inferred(kernel(threads, (s,)))
        found = layouts_of(alone.launches[0]) if isinstance(alone, Kernel) else {}
        for b, layout in found.items():
            if b in choices and isinstance(layout, Fragment) and layout not in choices[b]:
                choices[b].append(layout)
    for combination in islice(product(*choices.values()), MOST_COMBINATIONS):
        table = tuple(Assigned(b, f) for b, f in zip(choices, combination))
        try:
            verify_layouts(infer_layouts.run(kernel(threads, body, table), target=SM80))
        except TileError as raised:
            assert raised.code in LEGITIMATE | {"TD0302", "TD0001"}, raised
        else:
            raise AssertionError(f"refused, but these layouts serve: {table}")


LAWS = laws_of(globals())
