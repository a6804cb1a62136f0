"""Laws of the text form over random kernels of every kind of node."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiledsl.errors import TileError, VerifyError
from tiledsl.ir import nodes, tile
from tiledsl.ir.dtypes import DTYPES, HANDLE
from tiledsl.ir.nodes import Buffer, Const, Kernel, Let, Var
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import rewrite, same, walk
from tiledsl.testing.strategies import constants, expressions, kernels

_SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))
_VALUES = [d for d in DTYPES.values() if d is not HANDLE]


def kernel_of(value: nodes.Expr, dtype: object) -> Kernel:
    """A kernel that binds one value."""
    body = (Let(Var("x", value.dtype if isinstance(value, Const) else dtype), value),)  # type: ignore[arg-type]
    launch = nodes.Launch("main", (Const(1),), (Var("b"),), (32,), Var("t"), body)
    return Kernel("k", (), (launch,))


def renamed(kernel: Kernel) -> Kernel:
    """The kernel with every variable and buffer replaced by another one called `z`."""
    memo: dict[nodes.Node, nodes.Node] = {}

    def extents(values: tuple[nodes.Extent, ...]) -> tuple[nodes.Extent, ...]:
        return tuple(rewrite(v, rule) if isinstance(v, nodes.Expr) else v for v in values)

    def rule(n: nodes.Node) -> nodes.Node:
        if isinstance(n, Var):
            return memo.setdefault(n, Var("z", n.dtype))
        if isinstance(n, Buffer):
            strides = None if n.strides is None else extents(n.strides)
            return memo.setdefault(n, replace(n, name="z", shape=extents(n.shape), strides=strides))
        return n

    result: Kernel = rewrite(kernel, rule)
    return result


@_SLOW
@given(kernels())
def test_parsing_inverts_printing_up_to_names(kernel: nodes.Kernel) -> None:
    verify(kernel)
    printed = text(kernel)
    parsed = parse(printed)
    assert same(parsed, kernel)
    assert text(parsed) == printed
    verify(parsed)
    other = renamed(kernel)
    verify(other)
    assert same(kernel, other) and same(other, kernel)


@settings(deadline=None)
@given(st.sampled_from(_VALUES).flatmap(constants))
def test_every_constant_is_exact(value: Const) -> None:
    parsed = parse(text(kernel_of(value, value.dtype))).launches[0].body[0]
    assert isinstance(parsed, Let) and same(parsed.value, value)


@settings(deadline=None)
@given(st.sampled_from(_VALUES).flatmap(lambda d: st.tuples(expressions(d), st.just(d))))
def test_precedence_and_parentheses(case: tuple[nodes.Expr, object]) -> None:
    parsed = parse(text(kernel_of(*case))).launches[0].body[0]
    assert isinstance(parsed, Let) and same(parsed.value, case[0])


@_SLOW
@given(kernels(), st.data())
def test_verify_says_what_is_wrong_with_any_kernel(kernel: Kernel, data: st.DataObject) -> None:
    """One expression replaced by another: accepted or a VerifyError, and never any other exception; the text exists."""
    found = [n for n in walk(kernel) if isinstance(n, nodes.Expr)]
    replaceable = [e for e in found if not isinstance(e, (Var, nodes.Address))]  # some fields are typed as these
    old, new = data.draw(st.sampled_from(replaceable)), data.draw(st.sampled_from(found))
    broken: Kernel = rewrite(kernel, lambda n: new if n is old else n)
    try:
        verify(broken)
    except VerifyError as said:
        assert said.message
    assert text(broken)


EVERY_NODE = (Path(__file__).parents[1] / "golden" / "text" / "every_node.tir").read_text()
TOKENS = re.findall(r'"(?:\\.|[^"\\])*"|[A-Za-z_]\w*|\d+\.\d+|->|\S', EVERY_NODE)


@settings(deadline=None)
@given(st.data())
def test_broken_text_is_a_located_error(data: st.DataObject) -> None:
    """A few tokens replaced, doubled or left out: a TileError with a place, or a kernel that is well-formed."""
    tokens = list(TOKENS)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(tokens) - 1))
        tokens[at : at + 1] = data.draw(st.lists(st.sampled_from(TOKENS), max_size=2))
    source = " ".join(tokens)
    try:
        kernel = parse(source)
        verify(kernel)
    except TileError as said:
        assert said.span.line == 1, said
        return
    assert same(parse(text(kernel)), kernel)


@pytest.mark.slow
def test_every_kind_of_node_is_drawn() -> None:
    """The laws above speak of the whole vocabulary."""
    seen: set[type] = set()

    @settings(deadline=None, database=None, derandomize=True, max_examples=300, suppress_health_check=list(HealthCheck))
    @given(kernels(max_statements=4, depth=2))
    def look(kernel: Kernel) -> None:
        seen.update(type(n) for n in walk(kernel))

    look()
    tables = (nodes.Assigned, nodes.SafeValue, nodes.SharedSlot)
    kinds = [k for k in vars(nodes).values() if isinstance(k, type) and issubclass(k, nodes.Stmt | nodes.Expr)]
    wanted = {*kinds, *tile.TILE_OPS, *tables} - {nodes.Stmt, nodes.Expr}
    assert {k.__name__ for k in wanted - seen} == set()
