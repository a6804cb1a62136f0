"""Whether a kernel can fit a block of the target at all, asked of what was traced: before any pass and any compiler.

Only what is certain is said: a kernel that is refused here cannot be launched, or keeps its sums in memory. What the
passes then find (all shared tiles together, instructions that do not exist) they report themselves.
"""

from __future__ import annotations

from math import prod

from tiledsl.errors import error
from tiledsl.ir.nodes import Alloc, Buffer, Kernel, Launch, Space, static_shape
from tiledsl.ir.tile import Gemm
from tiledsl.ir.walk import statements
from tiledsl.target import Target


def require_fits(kernel: Kernel, target: Target) -> None:
    """Raises TileError TD0672 for the first thing that the target has too little of."""
    for launch in kernel.launches:
        _require("threads in a block", launch.num_threads, target.max_threads, "the launch", target)
        for s in statements(launch):
            if isinstance(s, Alloc) and s.buffer.space is Space.FRAGMENT:
                needed = -(-_bits(s.buffer) // (32 * launch.num_threads))
                what = f"fragment '{s.buffer.name}'"
                _require("registers a thread", needed, registers(launch, target), what, target)
            elif isinstance(s, Gemm):
                tiles = {r.buffer for r in (s.a, s.b, s.c) if r.buffer.space is Space.SHARED}
                names = ", ".join(sorted(b.name for b in tiles))
                size = sum(-(-_bits(b) // 8) for b in tiles)
                _require("bytes of shared memory", size, target.shared_per_block, f"the product of {names}", target)


def registers(launch: Launch, target: Target) -> int:
    """What a thread can have, if the block is to be launched at all."""
    return min(target.max_registers, target.registers_per_sm // launch.num_threads)


def _bits(buffer: Buffer) -> int:
    return prod(static_shape(buffer)) * buffer.dtype.bits


def _require(resource: str, needed: int, limit: int, what: str, target: Target) -> None:
    if needed > limit:
        raise error("TD0672", what=what, needed=needed, resource=resource, target=target.name, limit=limit)
