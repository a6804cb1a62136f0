"""Parallel loops whose iterations depend on each other are found, and no others."""

from __future__ import annotations

import pytest

from tiledsl.analysis.iterations import dependence
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.tile import Parallel
from tiledsl.ir.walk import walk
from tiledsl.passes.normalise import normalise


def kernel(loop: str) -> Kernel:
    tiles = "alloc x: fragment float32[8, 16]\nalloc r: fragment float32[8]\nalloc s: shared float32[16, 16]"
    return parse(f"kernel k(A: global bool[8]) {{\nlaunch k(bx in 2) threads(tx in 32) {{\n{tiles}\n{loop}\n}}\n}}")


def found(loop: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    (parallel,) = (n for n in walk(kernel(loop)) if isinstance(n, Parallel))
    d = dependence(parallel)
    return None if d is None else (d.writer, d.reader, d.element)


DEPENDENT = {
    "a sum without a reduction": ("parallel i in 8, j in 16 {\nr[i] = r[i] + x[i, j]\n}", (0, 0)),
    "read before it is written": ("parallel i in 8, j in 16 {\nx[i, j] = r[i]\nr[i] = 1.0\n}", (0, 0)),
    "a neighbour": ("parallel i in 15, j in 16 {\ns[i, j] = s[i + 1, j]\n}", (0, 0)),
    "a transposition in place": ("parallel i in 16, j in 16 {\ns[i, j] = s[j, i]\n}", (0, 1)),
    "through a bind": ("parallel i in 8, j in 16 {\nlet a: float32 = r[i]\nr[i] = a + x[i, j]\n}", (0, 0)),
    "in an inner loop": ("parallel i in 8 {\nfor j in 2 {\ns[i + j, 0] = s[i, 0]\n}\n}", (1,)),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_dependent_iterations_are_refused(name: str) -> None:
    loop, reader = DEPENDENT[name]
    seen = found(loop)
    assert seen is not None and seen[1] == reader and seen[0] != seen[1]
    with pytest.raises(TileError) as raised:
        normalise(kernel(loop))
    assert raised.value.code == "TD0318"


INDEPENDENT = {
    "each its own element": "parallel i in 8, j in 16 {\nx[i, j] = x[i, j] + r[i]\n}",
    "the same value by all": "parallel i in 8, j in 16 {\nr[i] = 1.0\n}",
    "under a condition": "parallel i in 8, j in 16 {\nif j == 0 {\nr[i] = r[i] + 1.0\n}\n}",
    "chosen by a condition": "parallel i in 8, j in 16 {\nr[i] = select(A[i], 1.0, r[i])\n}",
    "one iteration along": "parallel i in 8, j in 1 {\nr[i] = r[i] + x[i, j]\n}",
    "a permutation": "parallel i in 16, j in 16 {\ns[15 - i, j] = s[15 - i, j] + 1.0\n}",
    "other elements": "parallel i in 8, j in 16 {\ns[i, j] = s[i + 8, j]\n}",
    "out of bounds": "parallel i in 8 {\nr[i] = r[i + 8]\n}",
    "by block": "parallel i in 8 {\ns[bx, i] = s[bx, i + 1]\n}",
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_independent_iterations_are_not(name: str) -> None:
    assert found(INDEPENDENT[name]) is None
    normalise(kernel(INDEPENDENT[name]))
