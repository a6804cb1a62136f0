"""Shared tiles of roles with a dimension for the tiles in flight, of which each access names one, have versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tiledsl.ir.concurrent import Arrive, Await, Roles
from tiledsl.ir.nodes import Alloc, Buffer, Launch, Node, Region, Space, static_shape
from tiledsl.ir.walk import children, rewrite, walk


def slots_as_versions(launch: Launch) -> Launch:
    """The launch with `A[slot, :, :]` of such tiles as version `slot` of a tile without that dimension.

    What knows tiles of two dimensions, swizzles and the copy engine, then need not know of slots.
    """
    if not any(isinstance(n, Roles) for n in walk(launch)):
        return launch
    allocated = [n.buffer for n in walk(launch) if isinstance(n, Alloc) and n.buffer.space is Space.SHARED]
    kept = {a.buffer for a in launch.layouts} | {v.buffer for v in launch.safe_values} | set(_otherwise_used(launch))
    stacks: dict[Buffer, Buffer] = {
        b: replace(b, shape=b.shape[1:], versions=static_shape(b)[0])
        for b in allocated
        if len(b.shape) > 2 and b.versions == 1 and b not in kept
    }

    def rule(node: Node) -> Node:
        match node:
            case Region(buffer, offsets, extents) if buffer in stacks:
                version = offsets[0] if stacks[buffer].versions > 1 else None
                return Region(stacks[buffer], offsets[1:], extents[1:], version)
            case Alloc(buffer) if buffer in stacks:
                return replace(node, buffer=stacks[buffer])
            case Arrive(buffers=buffers) | Await(buffers=buffers) if buffers:
                return replace(node, buffers=tuple(stacks.get(b, b) for b in buffers))
        return node

    result = rewrite(launch, rule) if stacks else launch
    assert isinstance(result, Launch)
    return result


def _otherwise_used(node: Node) -> Iterator[Buffer]:
    """The buffers that are used in another way than through regions of one slot."""
    for n in children(node):
        if isinstance(node, Region):
            if n is node.buffer and node.extents[0] != 1:
                yield node.buffer
        elif isinstance(n, Buffer) and not isinstance(node, Alloc | Arrive | Await):
            yield n
        yield from _otherwise_used(n)
