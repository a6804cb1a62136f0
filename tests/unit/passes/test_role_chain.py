"""Thread-stage kernels of sm_90a through all passes after lowering, on the checked CPU device.

Then each barrier and each fence that the passes put in is taken out in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tiledsl.codegen.cuda import emit
from tiledsl.errors import TileError
from tiledsl.ir.concurrent import Fence
from tiledsl.ir.nodes import Barrier, Kernel, Node, Stmt, static_shape
from tiledsl.ir.parser import parse
from tiledsl.ir.walk import map_children, statements
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import target_named
from tiledsl.validation.emitted import execute_source
from tiledsl.validation.inputs import Inputs

pytestmark = pytest.mark.cxx  # it compiles for the CPU device
SM90 = target_named("sm_90a")
KERNELS = Path(__file__).parent / "kernels"
NAMES = ("gemm_roles", "gemm_persistent", "gemm_in_place")
ALL = tuple(PASSES)[tuple(PASSES).index("guard-bounds") :]


@cache
def lowered(name: str, without: str = "") -> Kernel:
    k = parse((KERNELS / f"{name}.tir").read_text())
    for p in ALL:
        k = k if p == without else PASSES[p].bind(SM90)(k)
    return k


def execute(k: Kernel, seed: int = 0) -> Mapping[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {p.name: static_shape(p) for p in k.params}  # type: ignore[arg-type]
    values = {n: rng.integers(-3, 4, shape).astype(np.float16) for n, shape in shapes.items()}
    out = execute_source(emit(k), k, Inputs(values, frozenset({"C"})), checked=True, seed=seed)
    factor = 2 if shapes["A"] == (256, 256) else 1  # gemm_in_place
    return {"C": out["C"], "expected": (factor * values["A"].astype(np.float32) @ values["B"]).astype(np.float16)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("without", ["", "count-versions"])
def test_it_computes_the_product(name: str, without: str) -> None:
    for seed in range(3):
        result = execute(lowered(name, without), seed)
        np.testing.assert_array_equal(result["C"], result["expected"])


def orders(s: Node) -> bool:
    """Whether it is something that insert-barriers or insert-fences may have put in."""
    return isinstance(s, Barrier) or (isinstance(s, Fence) and s.kind == "async_proxy")


def mutants(name: str) -> Iterator[tuple[str, Kernel]]:
    k = lowered(name)
    first, *places = (s for s in statements(k) if orders(s))
    assert isinstance(first, Barrier)  # after the initialisation of barriers: it stands in the text
    for n, place in enumerate(places):

        def dropped(node: Node, gone: Stmt = place) -> Node | tuple[Node, ...]:
            return () if node is gone else map_children(node, dropped)

        yield f"{type(place).__name__.lower()} {n}", map_children(k, dropped)


CASES = [(name, what, k) for name in NAMES for what, k in mutants(name)]


@pytest.mark.parametrize("k", [pytest.param(k, id=f"{name}: without {what}") for name, what, k in CASES])
def test_each_barrier_and_fence_is_needed(k: Kernel) -> None:
    with pytest.raises(TileError) as raised:
        execute(k)
    assert raised.value.code in ("TD0804", "TD0805", "TD0815", "TD0817", "TD0818")


def test_how_many_there_are() -> None:
    """As few as by hand: what is stored waits for its threads; in place, tiles are written, multiplied, and refilled.

    The tile of the result lies there where others were, so it waits for the last product too.
    """
    found = {name: [type(s).__name__ for s in statements(lowered(name)) if orders(s)] for name in NAMES}
    assert found == {
        "gemm_roles": ["Barrier", "Fence", "Barrier"],
        "gemm_persistent": ["Barrier", "Barrier", "Fence", "Barrier"],
        "gemm_in_place": ["Barrier", "Barrier", "Fence", "Barrier", "Barrier", "Fence", "Barrier"],
    }
