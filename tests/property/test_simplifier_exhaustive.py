"""Exhaustive searches beside the laws of the simplifier."""

from __future__ import annotations

import itertools

from tiledsl.ir.nodes import Binary, Const, Expr
from tiledsl.ir.ops import BINARY
from tiledsl.ir.printer import text
from tiledsl.ir.simplify import Simplifier
from tiledsl.testing.laws.simplifier import check_equal, evaluate
from tiledsl.testing.strategies.indices import I, J, T

CHAIN_OPS = [(op, c) for op in ("//", "%", "*", "+") for c in (2, 3, 4, 6)]


def test_all_chains_of_three_operations_keep_their_value() -> None:
    """Exhaustive, since random expressions seldom stack a quotient on an offset on a quotient."""
    low, high = -5, 23
    simplifier = Simplifier({T: (low, high)})
    for chain in itertools.product(CHAIN_OPS, repeat=3):
        e: Expr = T
        for op, c in chain:
            e = Binary(op, e, Const(c))
        s = simplifier.simplify(e)
        for t in range(low, high + 1):
            value = t
            for op, c in chain:
                value = BINARY[op].eval(value, c)
            assert evaluate(s, {T: t}) == value, f"{text(e)}  became  {text(s)}"


def test_a_swizzle_whose_parts_just_meet_keeps_its_value() -> None:
    """One more than the largest digit carries into the next: each of these is one short of falling apart."""
    ranges = {I: (0, 8), J: (0, 3), T: (0, 4)}
    for e in ((T * 8 + J) ^ I, (I + 8) ^ J, (I * 4 + T) ^ (J * 4), (I * 16 + T * 4) ^ (I * 2), (T * 2 + 8) ^ (I * 2)):
        check_equal(e, ranges)
