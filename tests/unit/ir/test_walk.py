"""The quick dataclasses of nodes behave as the standard ones, and traversal finds exactly the nodes in the fields."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given

from tiledsl.errors import NOWHERE, Span
from tiledsl.ir import concurrent, nodes, tile
from tiledsl.ir.nodes import Binary, Break, Buffer, Const, Expr, Load, Node, Stmt, Store, Var
from tiledsl.ir.types import effect_of
from tiledsl.ir.walk import children, map_children, statements, walk
from tiledsl.testing.strategies import expressions, kernels

CLASSES = [
    c for m in (nodes, tile, concurrent) for c in vars(m).values() if inspect.isclass(c) and dataclasses.is_dataclass(c)
]
LEAVES = (Var, Buffer)
V, B = Var("v"), Buffer("b", (4,), nodes.INDEX)


def found_by_hand(node: Node) -> list[Node]:
    """Every field that is a node, and every node in a field that is a tuple."""
    if isinstance(node, LEAVES):
        return []
    values = [getattr(node, f.name) for f in fields(node)]  # type: ignore[arg-type]
    return [n for v in values for n in (v if isinstance(v, tuple) else (v,)) if isinstance(n, Node)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_signature_is_that_of_a_dataclass(kind: type) -> None:
    like = dataclasses.make_dataclass(
        kind.__name__,
        [(f.name, object, dataclasses.field(default=f.default, kw_only=f.kw_only)) for f in fields(kind)],
    )
    shown = [(p.name, p.kind, p.default) for p in inspect.signature(like).parameters.values()]
    assert [(p.name, p.kind, p.default) for p in inspect.signature(kind).parameters.values()] == shown
    assert kind.__match_args__ == like.__match_args__  # type: ignore[attr-defined]
    assert not hasattr(kind, "__dict__") or "__dict__" not in kind.__slots__  # type: ignore[attr-defined]


def test_nodes_are_frozen() -> None:
    e = Const(1)
    with pytest.raises(FrozenInstanceError, match=r"Const\.value"):
        e.value = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del e.value


def test_equality_is_by_structure_without_spans_and_by_identity_for_leaves() -> None:
    assert Binary("+", V, Const(1)) == Binary("+", V, Const(1)) != Binary("+", V, Const(2))
    assert hash(Binary("+", V, Const(1))) == hash(Binary("+", V, Const(1)))
    assert Store(B, (V,), V, span=Span("f", 1, 0, 1, 0)) == Store(B, (V,), V)
    assert Break() == Break() and Break() != nodes.Continue()
    assert Var("v") != Var("v") and len({Var("v"), Var("v")}) == 2


def test_repr_replace_and_copies() -> None:
    e = Binary("+", Const(1), Const(2))
    assert repr(Const(1.5, nodes.BOOL)).startswith("Const(value=1.5, dtype=DType(name='bool'")
    assert "span" not in repr(Break())
    assert replace(e, op="-") == Binary("-", Const(1), Const(2))
    assert copy.copy(e) == e and e.__getstate__() == ("+", Const(1), Const(2))
    assert pickle.loads(pickle.dumps(nodes.Pipelined(3))) == nodes.Pipelined(3)
    assert Break().span is NOWHERE


@given(kernels())
def test_children_are_the_nodes_in_the_fields(kernel: nodes.Kernel) -> None:
    pending: list[Node] = [kernel]
    everything = []
    while pending:
        node = pending.pop()
        everything.append(node)
        assert list(map(id, children(node))) == list(map(id, found_by_hand(node)))
        pending += reversed(found_by_hand(node))
    assert list(map(id, walk(kernel))) == list(map(id, everything))
    assert list(map(id, statements(kernel))) == [id(n) for n in everything if isinstance(n, Stmt)]


@given(kernels())
def test_map_children_rebuilds_only_what_changed(kernel: nodes.Kernel) -> None:
    for node in walk(kernel):
        assert map_children(node, lambda n: n) is node
        if not isinstance(node, LEAVES) and found_by_hand(node):
            first = found_by_hand(node)[0]
            twin = copy.copy(first)
            made = map_children(node, lambda n, first=first, twin=twin: twin if n is first else n)  # type: ignore[misc]
            assert type(made) is type(node) and any(n is twin for n in children(made))
            assert not any(n is first for n in children(made))


def test_map_children_splices_and_deletes() -> None:
    block = nodes.While(Const(True, nodes.BOOL), (Break(), nodes.Continue()))
    doubled = map_children(block, lambda n: (n, n) if isinstance(n, Break) else () if isinstance(n, Stmt) else n)
    assert doubled.body == (Break(), Break())


@given(expressions())
def test_effect_is_the_strongest_below(e: Expr) -> None:
    order = list(nodes_effects := type(effect_of(e)))
    below = [effect_of(n) for n in children(e) if isinstance(n, Expr)]
    assert all(order.index(effect_of(e)) >= order.index(b) for b in below)
    assert not isinstance(e, Load) or effect_of(e) is not nodes_effects.PURE
