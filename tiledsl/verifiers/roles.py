"""The independent verifier of what gives tiles to roles and to the copy engine: both programs are run on tokens.

Beside what `pipeline` demands (the same values at every write, the same effects and results), every two accesses of
different roles that conflict must be ordered by barriers. Invariants (algorithms.md E.W): W3 all roles come to an end,
W4 a wait is for the phase that its parity means, W5 no phase has more arrivals than its barrier counts, W6 all bytes
that are expected come, W7 no tile is read before it is there, W8 none is written before it has been read, W10 nor while
a product or a store still reads it, W14 nobody uses registers of another role.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tiledsl.ir.nodes import Kernel
from tiledsl.target import Target
from tiledsl.verifiers.clusters import dealt
from tiledsl.verifiers.comparison import before_and_after
from tiledsl.verifiers.pipeline import compare
from tiledsl.verifiers.tile_memory import Trace


def verify_roles(before: Kernel, after: Kernel, target: Target | None = None) -> None:
    """Raises VerifyError if `after` does not do what `before` does, however its roles are scheduled."""
    for old, new in zip(before.launches, after.launches, strict=True):
        if old is new:
            continue
        for expected, found in before_and_after(before, old, after, new):
            compare(without(expected, dealt(new)), without(found, dealt(new)))


def without(trace: Trace, tiles: frozenset[str]) -> Trace:
    """What was done but for the writes of tiles that come in parts; who reads these tells whether they are right."""
    if not tiles:
        return trace
    events = [e for e in trace.events if e[2] not in tiles]
    return replace(trace, left=Counter(digest for digest, _, _ in events), events=events)
