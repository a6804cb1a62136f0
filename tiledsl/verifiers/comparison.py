"""A tile program before and after a pass, both executed on tokens, for the verifiers that compare what blocks did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Kernel, Launch
from tiledsl.ir.walk import statements
from tiledsl.verifiers.clusters import around, run_blocks
from tiledsl.verifiers.tile_memory import Trace
from tiledsl.verifiers.tiles import MOST_STATEMENTS
from tiledsl.verifiers.world import SIZES, GivenUp, worlds


def before_and_after(
    before: Kernel, old: Launch, after: Kernel, new: Launch, sizes: Sequence[int] = SIZES[:2]
) -> Iterator[tuple[Trace, Trace]]:
    """What each block did in `old` and in `new`, what a pass made of it, at the sizes that tell something.

    Raises as `TileMachine.run`; VerifyError P4 where the pass made more work than statements can account for.
    """
    # One statement may have become all of them: the guards, waits and counters of a loop that is not even entered.
    most = MOST_STATEMENTS * max(4, sum(1 for _ in statements(new)))
    for world in worlds(before, old, sizes):
        try:
            blocks = around(new, world)
            expectations = run_blocks(before, old, blocks)
        except GivenUp:
            continue
        try:
            found = run_blocks(after, new, blocks, most)
        except GivenUp:
            why = f"P4: the block executes more than {most} statements, and at most {MOST_STATEMENTS} before the pass"
            raise VerifyError(why, new.span) from None
        yield from zip(expectations, found)
