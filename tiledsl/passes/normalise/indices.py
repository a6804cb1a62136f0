"""Indices of elements in the dtype that all passes calculate with."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.analysis.elementwise import converted
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import Address, AtomicUpdate, Launch, Load, Node, Store
from tiledsl.ir.walk import rewrite


def with_wide_indices(launch: Launch) -> Launch:
    """The launch with every index of an element converted to `index`, where it is another integer.

    The frontend writes it so, IR text need not. Regions and sizes of tensors are of dtype `index` already (verify), and
    later passes add and compare these with indices.
    """
    wide: Launch = rewrite(launch, _wide)
    return wide


def _wide(n: Node) -> Node:
    if not isinstance(n, Load | Store | AtomicUpdate | Address):
        return n
    indices = tuple(converted(i, INDEX) for i in n.indices)
    return n if indices == n.indices else replace(n, indices=indices)
