"""Seeded bugs in the executions on the CPU: values, lanes, tile operations, exchanges of warps."""

from __future__ import annotations

from bug import Bug

EXECUTIONS = (
    Bug(
        "a select takes the other side",
        "cpu.lockstep:Lockstep.select",
        "np.where(cond, a, b)",
        "np.where(cond, b, a)",
        "expressions_mean_the_same_in_all_executions",
        40,
    ),
    Bug(
        "or is decided by false",
        "cpu.lockstep:Lockstep.short_circuit",
        'bool(a) == (e.op == "or")',
        'bool(a) == (e.op == "and")',
        "expressions_mean_the_same_in_all_executions",
        60,
    ),
    Bug(
        "lanes that meet in an atomic take one turn",
        "cpu.atomics:apply_atomic",
        "left = np.delete(left, first)",
        "left = left[:0]",
        "atomics_are_those_of_one_lane_after_the_other",
        40,
    ),
    Bug(
        "only sums of absolute values",
        "cpu.tile_ops:reduce",
        's.op.startswith("abs")',
        's.op == "abssum"',
        "reductions",
        60,
    ),
    Bug(
        "reductions forget what they add to",
        "cpu.tile_ops:reduce",
        "if not s.clear:",
        "if False:",
        "reductions",
        60,
    ),
    Bug(
        "scans from the end stay turned",
        "cpu.tile_ops:scan",
        "np.flip(result, s.dim) if s.reverse else result",
        "result",
        "scans",
        40,
    ),
    Bug(
        "shfl_up one lane too far",
        "cpu.warp:exchange",
        "lane >= operand",
        "lane > operand",
        "scans",
        40,
    ),
    Bug(
        "no subnormal numbers",
        "cpu.numerics:round_to",
        "np.maximum(exponent - 1, _least_exponent(target))",
        "(exponent - 1)",
        "expressions_agree_with_numpy",
        4,
    ),
    Bug(
        "the largest finite number overflows",
        "cpu.numerics:round_to",
        "np.abs(rounded) > largest",
        "np.abs(rounded) >= largest",
        "expressions_agree_with_numpy",
        4,
    ),
    Bug(
        "too large floats become the least integer",
        "cpu.numerics:_to_integer",
        "holder(high), result)",
        "holder(low), result)",
        "expressions_agree_with_numpy",
        4,
    ),
    Bug(
        "rounding down from above to infinity",
        "cpu.numerics:_towards_zero",
        "return x > 0",
        "return x < 0",
        "expressions_agree_with_numpy",
        4,
    ),
)
