"""The independent verifier of vectorise: S4 every wide access is aligned and stays in its row, S5 lanes compute what
the iterations of the loop did, S19 the sizes of cp.async."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import AtomCall, Buffer, Kernel, Move, Space, Stmt
from tiledsl.isa.table import atom_named
from tiledsl.target import Target
from tiledsl.verifiers.bounds import BoundsWatcher
from tiledsl.verifiers.equal import verify_same
from tiledsl.verifiers.values import Evaluator, Mask
from tiledsl.verifiers.world import World

WIDTHS = (1, 2, 4, 8, 16)  # bytes of one access (PTX ISA, "Vectors", "cp.async": cp-size)


def verify_vectors(before: Kernel, after: Kernel, target: Target | None = None) -> None:
    """Raises VerifyError S2, S4 or S5."""
    verify_same(before, after, "S5", "the lanes of an access are not the iterations of its loop", _Aligned)


class _Aligned(BoundsWatcher):
    def __init__(self, kernel: Kernel, world: World) -> None:
        super().__init__(kernel, world)
        self.sizes = Evaluator(dict(world.values))

    def element(self, stmt: Stmt, buffer: Buffer, indices: list[Any], lanes: int, on: Mask) -> None:
        super().element(stmt, buffer, indices, lanes, on)
        if not _is_wide(stmt, buffer):
            return
        size = lanes * buffer.dtype.bits // 8
        offset = self.offset(buffer, indices) * buffer.dtype.bits // 8
        if size not in WIDTHS and buffer.space is not Space.LOCAL:
            raise VerifyError(f"S4: an access of {size} bytes to '{buffer.name}'; there are {WIDTHS}", stmt.span)
        wrong = np.logical_and(offset % size != 0, on)
        if wrong.any():
            thread = int(np.argmax(wrong)) if np.ndim(wrong) else 0
            raise VerifyError(
                f"S4: thread {thread} accesses {size} bytes of '{buffer.name}' at byte "
                f"{int(np.broadcast_to(offset, np.shape(wrong) or (1,)).flat[thread])}, which is no multiple: "
                "fewer lanes fit there",
                stmt.span,
            )

    def offset(self, buffer: Buffer, indices: list[Any]) -> Any:
        """Elements from the start of the buffer."""
        shape = self.world.shapes.get(self.names.get(buffer, ""), buffer.shape)
        steps: list[Any] = [1] * len(shape)
        for d in range(len(shape) - 2, -1, -1):
            steps[d] = steps[d + 1] * shape[d + 1]
        if buffer.strides is not None:
            steps = [s if isinstance(s, int) else self.sizes.value(s, True) for s in buffer.strides]
        return sum((np.asarray(i) * s for i, s in zip(indices, steps)), start=np.asarray(0))


def _is_wide(s: Stmt, buffer: Buffer) -> bool:
    if isinstance(s, AtomCall):  # its registers are operands, not memory
        row = atom_named(s.atom)
        return buffer.space is not Space.LOCAL and row is not None and row.bytes > 0
    return isinstance(s, Move)
