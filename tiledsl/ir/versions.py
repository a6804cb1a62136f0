"""Accesses to buffers of several versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tiledsl.ir.nodes import Address, Block, Buffer, Expr, Load, Node, Region, Store
from tiledsl.ir.walk import rewrite


def with_versions(block: Block, versions: Mapping[Buffer, Expr]) -> Block:
    """`block` with every access to a buffer of `versions` that has no version yet given that one."""
    if not versions:
        return block
    rule = pinning(versions)
    return tuple(rewrite(s, rule) for s in block)


def pinning(versions: Mapping[Buffer, Expr]) -> Callable[[Node], Node]:
    """The rule of `with_versions` for one node."""

    def rule(node: Node) -> Node:
        if isinstance(node, (Region, Load, Store, Address)) and node.version is None and node.buffer in versions:
            return replace(node, version=versions[node.buffer])
        return node

    return rule
