"""Seeded bugs in tiles that the copy engine brings to blocks without roles."""

from __future__ import annotations

from bug import Bug

TURNS = "rings_go_round"
VALUES = "awaited_tiles_are_those_of_the_kernel"

LOADS = (
    Bug(
        "the phase of a ring changes in every round of one slot",
        "passes.software_pipeline.rewrite:_Time.turn",
        "round_ // depth % 2",
        "here // depth % 2",
        TURNS,
        60,
    ),
    Bug(
        "runs of a loop with rings that do not count",
        "passes.software_pipeline:_Pipeliner.turns",
        "(start + trips) % period",
        "start % period",
        TURNS,
        100,
    ),
    Bug(
        "only the first copy of a ring is announced",
        "passes.software_pipeline.rings:_ring",
        "sum(map(bulk_bytes, copies))",
        "bulk_bytes(copies[0])",
        VALUES,
        60,
    ),
    Bug(
        "a tile of no pipeline is awaited where it is written only",
        "passes.bulk_loads:_uses",
        "a.buffer in tiles for",
        "a.buffer in tiles and a.writes for",
        VALUES,
        60,
    ),
)
