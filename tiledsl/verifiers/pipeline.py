"""The independent verifier of software-pipeline: both programs are run on tokens and must do the same.

Invariants (algorithms.md E.C): P3 the same results, P4 each statement as often, P5 effects in the same order, P6 every
read sees what it sees in the loop as written, P8 versions in range, P13 no use of a tile in flight, P15 all copies are
awaited at the end, P17 no write to a tile in flight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import For, Kernel, Pipelined
from tiledsl.ir.walk import statements
from tiledsl.target import Target
from tiledsl.verifiers.comparison import before_and_after
from tiledsl.verifiers.tile_memory import Trace
from tiledsl.verifiers.world import SIZES


def verify_pipeline(
    before: Kernel, after: Kernel, target: Target | None = None, *, sizes: Sequence[int] = SIZES
) -> None:
    """Raises VerifyError if `after` is not `before` with its pipelined loops overlapped; tried at `sizes`."""
    for old, new in zip(before.launches, after.launches, strict=True):
        if not any(isinstance(s, For) and isinstance(s.kind, Pipelined) for s in statements(old)):
            continue
        for expected, found in before_and_after(before, old, after, new, sizes):
            compare(expected, found)


def compare(expected: Trace, found: Trace) -> None:
    left = Counter(expected.left)
    for digest, stmt, name in found.events:
        left[digest] -= 1
        if left[digest] < 0:
            said = "once more than" if expected.left[digest] else "with other values than"
            raise VerifyError(
                f"P6: '{name}' is written {said} in the loop as written: this statement runs at the wrong iteration, "
                "or reads the tile of another one; check versions, stages and orders of the plan",
                stmt.span,
            )
    missing = [(stmt, name) for digest, stmt, name in expected.events if left[digest] > 0]
    if missing:
        raise VerifyError(f"P4: '{missing[0][1]}' is not written in every iteration", missing[0][0].span)
    for n, (digest, stmt) in enumerate(found.effects):
        if n >= len(expected.effects) or expected.effects[n][0] != digest:
            raise VerifyError("P5: this effect happens at another place in the order of effects", stmt.span)
    if len(found.effects) < len(expected.effects):
        raise VerifyError("P5: this effect does not happen", expected.effects[len(found.effects)][1].span)
    if different := expected.memory.difference(found.memory):
        raise VerifyError(f"P3: element {different[1]} of '{different[0].partition('#')[0]}' is another one at the end")
