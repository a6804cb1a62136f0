"""T.Persistent: each tile of the box goes to one block and one turn, group by group."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.frontend.trace import trace_kernel
from tiledsl.ir.nodes import Binary, Block, Const, Expr, For, Kernel, Let, Persistent, Store, Var
from tiledsl.ir.ops import BINARY
from tiledsl.passes.normalise import normalise

Env = dict[Var, int]


def evaluate(e: Expr, env: Env) -> int:
    match e:
        case Const(value):
            return int(value)
        case Var():
            return env[e]
        case Binary(op, a, b):
            return int(BINARY[op].eval(evaluate(a, env), evaluate(b, env)))
    raise TypeError(type(e).__name__)


def tiles(block: Block, env: Env) -> Iterator[tuple[int, ...]]:
    """The indices that are stored to, in order."""
    for s in block:
        match s:
            case Store(indices=indices):
                yield tuple(evaluate(i, env) for i in indices)
            case Let(var, value):
                env = {**env, var: evaluate(value, env)}
            case For(var, extent, body):
                for i in range(evaluate(extent, env)):
                    yield from tiles(body, {**env, var: i})


def kernel_of(domain: tuple[int, ...], blocks: int, group: int, dynamic: bool, by_hand: bool) -> Kernel:
    """Static or run-time sizes; dealt to the blocks of the launch, or to `blocks` of them that the user numbers."""
    sizes = [T.dynamic(f"n{i}") for i in range(len(domain))] if dynamic else list(domain)

    def kernel(A: T.Tensor(tuple(sizes), "int32")) -> None:
        with T.Kernel(*((2, blocks) if by_hand else (blocks,))) as at:
            number = at[1] if by_hand else at
            for where in T.Persistent(sizes, blocks, number, group_size=group):
                A[where] = 1

    return trace_kernel(kernel, {}, {})


@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple),
    st.integers(1, 9),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
)
def test_each_tile_is_worked_on_once(
    domain: tuple[int, ...], blocks: int, group: int, dynamic: bool, by_hand: bool
) -> None:
    traced = kernel_of(domain, blocks, group, dynamic, by_hand)
    kinds = [s.kind for s in traced.launches[0].body if isinstance(s, For)]
    assert isinstance(kinds[0], Persistent) != by_hand
    launch = normalise(traced).launches[0]
    sizes = dict(zip(traced.sizes, domain)) if dynamic else {}
    turns = []
    for number in range(blocks):
        at = (0, number) if by_hand else (number,)
        turns.append(list(tiles(launch.body, {**sizes, **dict(zip(launch.blocks, at))})))
    assert sorted(itertools.chain(*turns)) == list(itertools.product(*map(range, domain)))
    order = [tile for wave in itertools.zip_longest(*turns) for tile in wave if tile is not None]
    groups = [tile[-1] // min(group, domain[-1]) for tile in order]
    assert groups == sorted(groups), "one group of the last dimension after the other"
    assert len(order) == prod(domain)


def test_there_are_as_many_names_as_dimensions() -> None:
    def kernel(A: T.Tensor((4, 4), "int32")) -> None:
        with T.Kernel(2) as b:
            for i, j, k in T.Persistent([4, 4], 2, b):
                A[i, j] = k

    with pytest.raises(TileError) as caught:
        trace_kernel(kernel, {}, {})
    assert caught.value.code == "TD0131"
