"""Tensors that may share memory, where the order of accesses would not be kept."""

from __future__ import annotations

from tiledsl.errors import error
from tiledsl.frontend.tracer import written_by
from tiledsl.ir.nodes import Buffer, For, Kernel, Pipelined
from tiledsl.ir.walk import statements, walk


def check_overlaps(kernel: Kernel) -> None:
    """Raises TileError TD0150 for a pipelined loop that writes one overlapping tensor and uses another.

    A pipeline reads tiles ahead of the iterations that write: what it knows to be two tensors it takes to be apart.
    """
    shared = frozenset(kernel.overlapping)
    loops = [s for s in statements(kernel) if isinstance(s, For) and isinstance(s.kind, Pipelined)] if shared else []
    for loop in loops:
        used = [n for n in dict.fromkeys(walk(loop)) if isinstance(n, Buffer) and n in shared]
        written = [b for b in map(written_by, statements(loop)) if b in shared]
        others = [b for b in used if written and b is not written[0]]
        if others and written[0] is not None:
            raise error("TD0150", loop.span, name=written[0].name, other=others[0].name)
