"""Seeded bugs in the passes of the thread stage, the analyses that they ask, and the emitter."""

from __future__ import annotations

from bug import Bug

BARRIERS = (
    Bug(
        "only neighbours in straight code are compared",
        "passes.insert_barriers:_Planner.straight",
        "pending += item.leave",
        "pending = list(item.leave)",
        "barriers_pass_their_verifier",
        60,
    ),
    Bug(
        "conflicts from one iteration to the next are missed",
        "passes.insert_barriers:_Planner.around",
        "if all(x.through for x in passed):",
        "if False:",
        "barriers_pass_their_verifier",
        60,
    ),
    Bug(
        "versions of the next iteration are those of this one",
        "passes.insert_barriers:_Planner.around",
        "[f.moved({var: 1}) for f in target.enter]",
        "[f.moved({var: 0}) for f in target.enter]",
        "barriers_pass_their_verifier",
        60,
    ),
    Bug(
        "a copy is visible to all threads after the wait",
        "passes.insert_barriers:_Planner.item",
        "replace(f, stmt=s, issued=False) for f in self.arrived.get(path, ())",
        "f for f in ()",
        "barriers_pass_their_verifier",
        60,
    ),
)

SHARED = (
    Bug(
        "copies in flight do not count",
        "passes.plan_shared_memory:_lifetimes",
        "if buffer in scanner.in_flight:",
        "if False:",
        "verify_shared_by_hand",
        1,
    ),
    Bug(
        "versions are not counted",
        "analysis.footprint:bytes_of",
        "return buffer.versions * version_bytes(buffer)",
        "return version_bytes(buffer)",
        "verify_shared",
        1,
    ),
    Bug(
        "buffers that meet share bytes",
        "passes.plan_shared_memory:Lifetime.meets",
        "self.first <= other.last and other.first <= self.last",
        "self.first < other.first < self.last",
        "verify_shared_by_hand",
        1,
    ),
    Bug(
        "the arena ends with the last buffer placed",
        "passes.plan_shared_memory:_packed",
        "max((offsets[l.buffer] + l.size for l in lifetimes), default=0)",
        "max((offsets[l.buffer] for l in lifetimes), default=0)",
        "verify_shared",
        1,
    ),
)

SCALAR = (
    Bug(
        "the lower bound is not guarded",
        "analysis.ranges:in_bounds",
        '(Binary("<=", Const(0, dtype_of(index)), index), Binary("<", index, size))',
        '(Binary("<", index, size),)',
        "guards_and_vectors_pass_their_verifiers",
        60,
    ),
    Bug(
        "the guard lets the extent itself through",
        "analysis.ranges:in_bounds",
        'Binary("<", index, size)',
        'Binary("<=", index, size)',
        "verify_bounds",
        1,
    ),
    Bug(
        "only the first dimension is guarded",
        "analysis.ranges:in_bounds",
        "zip(indices, buffer.shape, strict=True)",
        "list(zip(indices, buffer.shape))[:1]",
        "verify_bounds",
        1,
    ),
    Bug(
        "the guard of a store is dropped",
        "passes.guard_bounds:_Guard.leaf",
        "return (If(cond, (inner,), span=s.span),)",
        "return (inner,)",
        "verify_bounds",
        1,
    ),
    Bug(
        "loads outside read 1",
        "passes.guard_bounds:zero",
        "0.0 if dtype.is_float else 0",
        "1.0 if dtype.is_float else 1",
        "guards_and_vectors_pass_their_verifiers",
        80,
    ),
    Bug(
        "a condition holds in the other branch too",
        "analysis.ranges:Facts.under_not",
        'return self.under(Unary("not", cond))',
        "return self.under(cond)",
        "each_scalar_pass_alone_keeps_the_meaning",
        175,
    ),
    Bug(
        "range of a refined variable off by one",
        "analysis.ranges:_refined",
        "high = min(high, -least // k)",
        "high = min(high, -least // k - 1)",
        "guards_and_vectors_pass_their_verifiers",
        60,
    ),
    Bug(
        "loop variables never reach their last value",
        "analysis.ranges:_collect",
        "(0, max(0, simplifier.bounds(extent)[1] - 1))",
        "(0, max(0, simplifier.bounds(extent)[1] - 2))",
        "guards_and_vectors_pass_their_verifiers",
        80,
    ),
    Bug(
        "a load outside is executed speculatively",
        "passes.guard_bounds:_Guard.expr",
        "known, excluded = facts.under(cond), facts.under_not(cond)",
        "known, excluded = facts.under_not(cond), facts.under(cond)",
        "each_scalar_pass_alone_keeps_the_meaning",
        175,
    ),
    Bug(
        "lanes are taken for aligned",
        "analysis.lanes:run_of",
        "element_alignment(access.buffer, indices, simplifier))",
        "ACCESS_BITS // bits)",
        "guards_and_vectors_pass_their_verifiers",
        80,
    ),
    Bug(
        "lanes in the wrong order",
        "analysis.lanes:Run.address",
        "Const(int(last.value) + lane)",
        "Const(int(last.value) - lane)",
        "guards_and_vectors_pass_their_verifiers",
        60,
    ),
    Bug(
        "loads under a condition are hoisted out of it",
        "passes.vectorise.statements:_Gather.load",
        "body = (If(all_of(list(conditions)), body, span=self.span),)",
        "pass",
        "guards_and_vectors_pass_their_verifiers",
        60,
    ),
    Bug(
        "only the first vector of a group is moved",
        "passes.vectorise.statements:moves",
        "range(0, lanes, width)",
        "range(0, width, width)",
        "guards_and_vectors_pass_their_verifiers",
        60,
    ),
    Bug(
        "all lanes store lane 0",
        "passes.vectorise.statements:Lanes.per_lane",
        "(substitute(s, {self.lane: lane}),)",
        "(substitute(s, {self.lane: Const(0)}),)",
        "guards_and_vectors_pass_their_verifiers",
        60,
    ),
)

EMITTED = "programs_mean_the_same_in_emitted_code"
EMITTER = (
    Bug(
        "operands without parentheses",
        "codegen.convert:Text.__str__",
        "if self.atomic else",
        "if True else",
        EMITTED,
        6,
    ),
    Bug(
        "row-major offset with the outer extent",
        "codegen.offset:flat_offset",
        "zip(rest, buffer.shape[1:], strict=True)",
        "zip(rest, buffer.shape[:-1], strict=True)",
        "emitted_code_computes_what_the_tile_stage_means",
        3,
    ),
    Bug(
        "displacement counted in elements",
        "codegen.offset:in_bytes",
        "return Const(int(value) * item, dtype)",
        "return Const(int(value), dtype)",
        "emitted_code_computes_what_the_tile_stage_means",
        3,
    ),
)
