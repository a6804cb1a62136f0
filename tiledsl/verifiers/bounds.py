"""The independent verifier of guard-bounds: S2 no access outside of its memory, S14 what is outside reads as the safe
value and is not written."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Buffer, Kernel, Space, Stmt
from tiledsl.target import Target
from tiledsl.verifiers.equal import verify_same
from tiledsl.verifiers.values import Mask
from tiledsl.verifiers.watch import Watcher
from tiledsl.verifiers.world import World, tensors


def verify_bounds(before: Kernel, after: Kernel, target: Target | None = None) -> None:
    """Raises VerifyError for an access outside, S2, and for one that is guarded where it is inside, S14."""
    verify_same(before, after, "S14", "its guard does not hold exactly where the access is inside", BoundsWatcher)


class BoundsWatcher(Watcher):
    wants = (Space.GLOBAL, Space.SHARED, Space.LOCAL)

    def __init__(self, kernel: Kernel, world: World) -> None:
        self.names = tensors(kernel)
        self.world = world

    def element(self, stmt: Stmt, buffer: Buffer, indices: list[Any], lanes: int, on: Mask) -> None:
        shape = self.world.shapes[self.names[buffer]] if buffer in self.names else buffer.shape
        for d, (i, n) in enumerate(zip(indices, shape)):
            assert isinstance(n, int)
            last = np.asarray(i) + (lanes - 1 if d == len(shape) - 1 else 0)
            wrong = np.logical_and((np.asarray(i) < 0) | (last >= n), on)
            if wrong.any():
                thread = int(np.argmax(wrong)) if np.ndim(wrong) else 0
                at = [int(x.flat[thread]) for x in np.broadcast_arrays(wrong, *indices)[1:]]
                raise VerifyError(
                    f"S2: thread {thread} touches '{buffer.name}' at {at}, outside of its shape {tuple(shape)}: "
                    "the access needs a guard",
                    stmt.span,
                )
