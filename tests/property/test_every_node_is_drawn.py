"""The laws of the text form speak of the whole vocabulary."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tiledsl.ir import concurrent, nodes, tile
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.walk import walk
from tiledsl.testing.strategies.forms import kernels


@pytest.mark.slow
def test_every_kind_of_node_is_drawn() -> None:
    """The laws above speak of the whole vocabulary."""
    seen: set[type] = set()

    @settings(deadline=None, database=None, derandomize=True, max_examples=300, suppress_health_check=list(HealthCheck))
    @given(kernels(max_statements=4, depth=2))
    def look(kernel: Kernel) -> None:
        seen.update(type(n) for n in walk(kernel))

    look()
    tables = (nodes.Assigned, nodes.SafeValue, nodes.SharedSlot, nodes.Handover)
    kinds = [k for m in (nodes, concurrent) for k in vars(m).values() if isinstance(k, type)]
    drawn = {k for k in kinds if issubclass(k, nodes.Stmt | nodes.Expr)} - {nodes.Stmt, nodes.Expr}
    wanted = {*drawn, concurrent.Role, *tile.TILE_OPS, *tables}
    assert {k.__name__ for k in wanted - seen} == set()
