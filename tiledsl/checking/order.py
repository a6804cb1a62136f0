"""What a kernel computes in a way that depends on the order of its atomic updates."""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.analysis.access import AccessKind, accesses, rooted, storage_roots
from tiledsl.ir.concurrent import TensorCopy
from tiledsl.ir.nodes import Address, AtomicUpdate, Buffer, Kernel, Launch, Space
from tiledsl.ir.walk import statements


@dataclass(frozen=True, slots=True)
class Order:
    """Global tensors, by name, whose value may depend on the order of atomic updates.

    `sums` are equal within a tolerance in every order: floating-point atomic adds. `free` may hold anything that an
    order gives: an atomic update handed back what was there before.
    """

    sums: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()


def order_dependent(kernel: Kernel) -> Order:
    """What of `kernel` may depend on the order of atomic updates: their tensors, and what is computed from those."""
    sums: set[Buffer] = set()
    free: set[Buffer] = set()
    for launch in kernel.launches:
        roots = storage_roots(launch.body)
        found = rooted([a for s in launch.body for a in accesses(s)], roots)
        read = {a.buffer for a in found if a.kind is AccessKind.READ}
        written = {a.buffer for a in found if a.writes and a.buffer.space is Space.GLOBAL}
        adds = {roots.get(b, b) for b in _added_to(launch) if b.dtype.is_float}
        outside = {b for b in adds if b.space is Space.GLOBAL}
        # What is added up in shared memory, or was by a launch before, may go into everything that is written.
        sums |= written if adds - outside or read & sums else outside
        handed_back = any(s.result for s in statements(launch) if isinstance(s, AtomicUpdate))
        if handed_back or read & free:
            free |= written
    return Order(frozenset(b.name for b in sums), frozenset(b.name for b in free))


def _added_to(launch: Launch) -> set[Buffer]:
    """What threads add to, and the copy engine."""
    found: set[Buffer] = set()
    for s in statements(launch):
        match s:
            case AtomicUpdate(buffer=buffer, op="add") | TensorCopy(dst=Address(buffer=buffer), op="add"):
                found.add(buffer)
    return found
