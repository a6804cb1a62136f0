"""What the checked CPU device counted: requests of warps and what they cost, by source line, operation and buffer.

`native/counters.h` says what a request is, `analysis/requests.py` what it costs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Counter:
    """One row. `op` is load, store, atomic, or an instruction's name; `space` is shared, global or warp.

    In shared memory `transactions` are wavefronts, in global memory sectors of 32 bytes; `ideal` is the least possible
    for the same lanes. Operations of a warp (shuffle, vote, mma, barrier) have only `requests`. `buffer` has several
    names, joined by `|`, where shared memory is reused and bytes belong to each of them.
    """

    op: str
    space: str
    buffer: str
    file: str
    line: int
    requests: int
    transactions: int
    ideal: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Sums over all blocks of a launch, ordered by line."""

    rows: tuple[Counter, ...]

    def total(self, space: str) -> Counter:
        """The sum over all rows of one space."""
        of = [r for r in self.rows if r.space == space]
        sums = (sum(r.requests for r in of), sum(r.transactions for r in of))
        return Counter("", space, "", "", 0, *sums, sum(r.ideal for r in of), sum(r.bytes for r in of))

    def to_json(self) -> str:
        return json.dumps([asdict(r) for r in self.rows], indent=1)

    def __str__(self) -> str:
        header = ("operation", "of", "line", "requests", "transactions", "ideal", "bytes")
        cells = [header]
        for r in self.rows:
            place = f"{r.file.rpartition('/')[2]}:{r.line}"
            counts = (r.requests, r.transactions, r.ideal, r.bytes)
            shown = (str(c) if c or r.space != "warp" else "" for c in counts)
            cells.append((r.op, r.buffer or r.space, place, *shown))  # type: ignore[arg-type]
        widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in cells)


def parse(text: str) -> Counters:
    """The table of `table_text` in native/observer.cpp."""
    return counters(_row(line) for line in text.splitlines())


def counters(rows: Iterable[Counter]) -> Counters:
    """Rows alike as one, in order."""
    sums: dict[tuple[str, int, str, str, str], list[int]] = {}
    for r in rows:
        key = (r.file, r.line, r.space, r.op, r.buffer)
        before = sums.get(key, [0, 0, 0, 0])
        sums[key] = [a + b for a, b in zip(before, (r.requests, r.transactions, r.ideal, r.bytes))]
    return Counters(
        tuple(
            Counter(op, space, buffer, f, n, *sums[f, n, space, op, buffer]) for f, n, space, op, buffer in sorted(sums)
        )
    )


def _row(line: str) -> Counter:
    space, op, buffer, file, number, *counts = line.split("\x1f")
    requests, transactions, ideal, size = map(int, counts)
    return Counter(op, space, buffer, file, int(number), requests, transactions, ideal, size)
