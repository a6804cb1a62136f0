"""Seeded bugs in warp specialisation, products in flight, and stores by the copy engine."""

from __future__ import annotations

from bug import Bug

PLAN = "passes.warp_specialise.plan"
SPLIT = "passes.warp_specialise.split"
PLANS = "plans_are_total"
VALUES = "roles_compute_what_the_kernel_means"
TURNS = "both_sides_take_the_same_turns"
PRODUCTS = "products_in_flight_compute_the_same_on_every_schedule"
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
        "passes.warp_specialise.iterations:count_of",
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
        f"{PLAN}:Channel.bytes",
        "for c in self.copies)",
        "for c in self.copies[:1])",
        VALUES,
    ),
    Bug(
        "one arrival for what all threads of the producer copy",
        f"{PLAN}:Channel.arrivals",
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
        f"{PLAN}:_Scan.channels",
        "(last[-1].first, last[-1].last) == (c.first, c.last)",
        "True",
        VALUES,
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
        TURNS,
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
