"""Seeded bugs in warp specialisation, products in flight, and stores by the copy engine."""

from __future__ import annotations

from bug import Bug

CHANNELS = "passes.warp_specialise.channels"
GROUPING = "passes.warp_specialise.grouping"
PLAN = "passes.warp_specialise.plan"
SPLIT = "passes.warp_specialise.split"
PLANS = "plans_are_total"
VALUES = "roles_compute_what_the_kernel_means"
TURNS = "both_sides_take_the_same_turns"
PRODUCTS = "products_in_flight_compute_the_same_on_every_schedule"
SCHEDULES = "schedules_are_kept_or_refused"
STORES = "bulk_stores_and_folded_clears_need_no_roles"

WARPS = (
    Bug(
        "the producer waits for the phase that is to come",
        f"{SPLIT}:_counted",
        "Turn(slot, round_ % 2, (round_ + 1) % 2)",
        "Turn(slot, round_ % 2, round_ % 2)",
        TURNS,
    ),
    Bug(
        "turns of nested loops as if all inner ones had one iteration",
        "analysis.turns:count_of",
        "total * s.extent + s.var",
        "total + s.var",
        TURNS,
        100,
    ),
    Bug(
        "runs of a loop that do not count",
        f"{SPLIT}:_around",
        "*(r.end(loop.extent) for r in runs)",
        "*()",
        TURNS,
        80,
    ),
    Bug(
        "as many arrivals as threads where warpgroups arrive",
        f"{SPLIT}:Ring.allocations",
        'consumers // WARPGROUP if self.channel.by == "warpgroups" else consumers',
        "consumers",
        VALUES,
    ),
    Bug(
        "bytes of the first copy for all of them",
        f"{CHANNELS}:Channel.bytes",
        "for c in self.copies)",
        "for c in self.copies[:1])",
        VALUES,
    ),
    Bug(
        "one arrival for what all threads of the producer copy",
        f"{CHANNELS}:Channel.arrivals",
        "(ENGINE in self.ways) + WARPGROUP * len(self.ways - {ENGINE})",
        "1",
        VALUES,
    ),
    Bug(
        "cp.async is handed over before it is complete",
        f"{SPLIT}:_Producer.handed_over",
        "copies=way == CP_ASYNC",
        "copies=False",
        PRODUCTS,
        100,
    ),
    Bug(
        "what a tile gets on the way is not asked for what it depends on",
        "passes.warp_specialise.fills:decided_within",
        "[n for n in walk(s) if isinstance(n, Expr)]",
        "[]",
        VALUES,
        150,
    ),
    Bug(
        "tiles given back after their first reader",
        f"{SPLIT}:_Consumer.block",
        "if i == ring.channel.copies[0].last:",
        "if i == ring.channel.copies[0].first:",
        VALUES,
        80,
    ),
    Bug(
        "neighbours with other readers share their barriers",
        f"{GROUPING}:neighbours",
        "_readers(groups[-1][-1]) == _readers(c)",
        "groups[-1][-1].block == c.block",
        VALUES,
    ),
    Bug(
        "a group of the user's with other readers",
        f"{GROUPING}:_why_not_together",
        "if _readers(a) == _readers(b):",
        "if a.block == b.block:",
        SCHEDULES,
    ),
    Bug(
        "the versions that the loop has, not those that the user wants",
        f"{GROUPING}:as_asked",
        "groups.append(Group(tuple(copies), h.depth))",
        "groups.append(Group(tuple(copies), _depth(copies[0].around)))",
        SCHEDULES,
    ),
    Bug(
        "a tile that is used after the loop",
        f"{PLAN}:_Scan.touched_elsewhere",
        "return len(here) != self.touched[tile] or ",
        "return ",
        VALUES,
        80,
    ),
    Bug(
        "what stands around a statement that the producer repeats",
        "passes.warp_specialise.replay:Replay.needs",
        "work += [s, *decided_by(around)]",
        "work += [s]",
        PLANS,
        400,
    ),
    Bug(
        "a buffer that says where to copy belongs to the consumers alone",
        f"{SPLIT}:_Producer.__post_init__",
        "needs.variables | needs.private",
        "needs.variables",
        PLANS,
        60,
    ),
    Bug(
        "a wait for the product of the iteration before this one",
        "passes.software_pipeline.products:product_needs",
        "found.append((g, 0))",
        "found.append((g, 1))",
        PRODUCTS,
    ),
    Bug(
        "the schedule forgets in which order tiles come",
        "passes.software_pipeline.legal:_supplies",
        "depth + behind",
        "depth + 2",
        PRODUCTS,
        200,
    ),
    Bug(
        "a product writes where it should add to ones",
        "passes.fold_clears:_is_clear",
        "value == 0 and",
        "value is not None and",
        STORES,
        80,
    ),
    Bug(
        "the zeros go, and the product adds to what was there",
        "passes.fold_clears:_block",
        "None, replace(gemm, clear=True)",
        "None, gemm",
        STORES,
        80,
    ),
    Bug(
        "nobody waits for products before this in the iteration",
        "passes.software_pipeline.products:product_needs",
        "found.append((g, 0))",
        "pass",
        PRODUCTS,
        50,
    ),
    Bug(
        "counters of slots return too early",
        "passes.count_versions:_Step.next",
        "Const(c.modulus - 1, one.dtype)",
        "Const(c.modulus - 2, one.dtype)",
        "executed_roles",
    ),
    Bug(
        "phases turn at slot 1",
        "passes.count_versions:_Step.next",
        'Binary("==", ring, Const(0, dtype_of(ring)))',
        'Binary("==", ring, Const(1, dtype_of(ring)))',
        "executed_roles",
    ),
    Bug(
        "phases turn beside remainders that do not grow by 1",
        "passes.count_versions:_Phases.implied",
        "is_ring(cycle, var) == modulus and ",
        "",
        "executed_ring_of_three",
    ),
    Bug(
        "counters begin where the first iteration began",
        "passes.count_versions:_Phases.at_start",
        "Const(values[0], dtype_of(e)) if len(values) == 1",
        "Const(values[0], dtype_of(e)) if values",
        "executed_roles",
    ),
    Bug(
        "a store overtakes what its place is needed for",
        "passes.bulk_stores:_Writer.awaited",
        "if any(self.meets(f, a) for f in pending for a in touched):",
        "if False:",
        STORES,
        150,
    ),
    Bug(
        "a store is in flight at the next iteration",
        "passes.bulk_stores:_Writer.loop",
        "if carried == entry:",
        "if True:",
        STORES,
        60,
    ),
)
