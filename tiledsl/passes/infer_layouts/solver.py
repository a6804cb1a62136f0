"""The search for layouts: strict demands, then what follows from them, then free choices component by component.

Attempts are pure: they work on copies of what is known, so a failed one leaves nothing behind (algorithms.md B.3, B.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import cast

from tiledsl.analysis.layout_tables import compared, contains, equal
from tiledsl.analysis.transactions import sectors
from tiledsl.errors import TileError, error
from tiledsl.ir.layout import Fragment, Layout, fully_replicated
from tiledsl.ir.layout_ops import reduce_dim, thread_digits_along, vector_width
from tiledsl.ir.nodes import Buffer, Space, static_shape
from tiledsl.ir.swizzle import merge_swizzles
from tiledsl.ir.tile import Parallel, Reduce
from tiledsl.ir.views import view_layout
from tiledsl.passes.infer_layouts.demands import Assignment, Clash, Demands, Known, Level, Op, Setting
from tiledsl.passes.infer_layouts.rules import RULES, choose_loop, loop_width

VARIANTS = 8  # layouts that a root of a free component tries
WARP = 32
MOST_REPLICATED = 256  # elements of a fragment that may be put into the registers of every thread unasked
# What a reduction across warps costs more, in registers: for each value, and for its barriers.
CROSSING_VALUE, BARRIERS = 8, 32


@dataclass(frozen=True)
class Problem:
    """The statements of a launch and what connects them. `aliases`: for each buffer the others of its storage."""

    ops: tuple[Op, ...]
    setting: Setting
    aliases: dict[Buffer, tuple[Buffer, ...]]
    users: dict[Buffer, tuple[int, ...]] = field(default_factory=dict)
    settings: dict[int, Setting] = field(default_factory=dict, compare=False, repr=False)

    def setting_of(self, op: Op) -> Setting:
        """The setting with the threads that execute `op`."""
        if op.threads in (0, self.setting.num_threads):
            return self.setting
        if op.threads not in self.settings:
            self.settings[op.threads] = replace(self.setting, num_threads=op.threads)
        return self.settings[op.threads]


State = dict[Buffer, Assignment]
Memo = dict[object, "Demands | Clash | Fragment | int | None"]  # what rules and loops gave for the layouts they look at


def solve(problem: Problem, given: Known) -> State:
    """The layouts of all fragments, and of the shared buffers for which a statement asked; `given` is kept.

    Raises TileError where no assignment was found.
    """
    state: State = dict(given)
    memo: Memo = {}
    for op in problem.ops:
        _raise(_run(problem, op, Level.STRICT, 0, state, memo))
    _raise(_propagate(problem, state, range(len(problem.ops)), memo))
    for members in _components(problem, state):
        state = _free(problem, state, members, memo)
    return state


def _raise(result: list[Buffer] | Clash | None) -> None:
    if isinstance(result, Clash):
        raise result.raised


# ---------------------------------------------------------------------------------------------------- one rule, once


def _run(problem: Problem, op: Op, level: Level, variant: int, state: State, memo: Memo) -> list[Buffer] | Clash:
    """Runs the rule and merges its demands into `state`; the buffers that changed, or the clash."""
    key = (op.index, level, variant, tuple(state.get(b) and (state[b].layout, state[b].level) for b in op.uses))
    if key not in memo:
        memo[key] = RULES[type(op.stmt)](op, state, level, problem.setting_of(op), variant)
    demands = cast("Demands | Clash", memo[key])
    if isinstance(demands, Clash):
        return demands
    changed: list[Buffer] = []
    for buffer, demand in demands.items():
        merged = _merge(buffer, state.get(buffer), demand)
        if isinstance(merged, Clash):
            return merged
        if merged is not None:
            changed += _assign(problem, state, buffer, merged)
    return changed


def _assign(problem: Problem, state: State, buffer: Buffer, new: Assignment) -> list[Buffer]:
    state[buffer] = new
    changed = [buffer]
    for other in problem.aliases.get(buffer, ()):
        layout = view_layout(new.layout, buffer.dtype.bits, static_shape(other), other.dtype.bits)
        if layout is None:
            why = f"its view '{other.name}' would cut an element in two"
            raise error("TD0305", new.span, buffer=buffer.name, why=why)
        state[other] = Assignment(layout, new.why, new.span, new.level)
        changed.append(other)
    return changed


def _merge(buffer: Buffer, old: Assignment | None, new: Assignment) -> Assignment | Clash | None:
    """What `buffer` gets; None if it keeps what it has."""
    if old is None:
        return new
    a, b = old.layout, new.layout
    if isinstance(a, Layout) and isinstance(b, Layout):
        # Every reader of shared memory follows the layout that it finds; swizzles agree on the smaller.
        merged = None if old.why == "user" else merge_swizzles(a, b, buffer.dtype.bits)
        return None if merged is None or merged == a else Assignment(merged, new.why, new.span, old.level)
    assert isinstance(a, Fragment) and isinstance(b, Fragment)
    if equal(a, b):
        return None
    if max(old.level, new.level) < Level.STRICT:
        if contains(b, a):
            return new
        if prod(a.shape) <= MOST_REPLICATED:  # the owners of both have no regular union: let every thread hold it
            return replace(new, layout=fully_replicated(a.shape, a.num_threads))
    return Clash(_two_layouts(buffer, old, new))


def _two_layouts(buffer: Buffer, old: Assignment, new: Assignment) -> TileError:
    if old.uniform or new.uniform:
        uniform, other = (old, new) if old.uniform else (new, old)
        place = ((f"{other.why} spreads it over the threads", other.span),)
        why = "every thread would need the element"
        return error("TD0302", uniform.span, place, buffer=buffer.name, index=uniform.uniform, why=why)
    notes = ((f"first demanded by {old.why}", old.span), (f"then by {new.why}", new.span))
    pictures = compared(f"for {old.why}", old.layout, f"for {new.why}", new.layout)
    what = f"'{buffer.name}' would need two layouts, for {old.why} and for {new.why}"
    return error("TD0301", new.span, notes, buffer=buffer.name, what=what, pictures=pictures)


# --------------------------------------------------------------------------------------------------------- worklist


def _propagate(problem: Problem, state: State, start: Iterable[int], memo: Memo) -> Clash | None:
    """Runs the common rules of `start` and of every user of a changed buffer until nothing changes.

    Reductions come last, of these first the one with the fewest owners of each value: a reduction can keep its result
    from threads that have it, but it cannot bring it to others.
    """
    queue = dict.fromkeys(start)  # in order, each once
    while queue:
        index = min(queue, key=lambda i: _owners_of_result(problem.ops[i], state))
        del queue[index]
        changed = _run(problem, problem.ops[index], Level.COMMON, 0, state, memo)
        if isinstance(changed, Clash):
            return changed
        queue.update((u, None) for b in changed for u in problem.users.get(b, ()) if u != index)
    return None


def _owners_of_result(op: Op, state: State) -> int:
    """How many threads have each value when a reduction is done; 0 of other statements, and where nothing is known."""
    if not isinstance(op.stmt, Reduce) or op.stmt.src.buffer not in state:
        return 0
    layout = state[op.stmt.src.buffer].layout
    result = reduce_dim(layout, op.stmt.dim) if isinstance(layout, Fragment) else None
    return result.replication if result else 0


# -------------------------------------------------------------------------------------------------------- free mode


def _components(problem: Problem, state: State) -> list[list[int]]:
    """Groups of statements that share fragments, of which some are unknown; in program order."""
    parent = list(range(len(problem.ops)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for buffer, users in problem.users.items():
        if buffer.space is Space.FRAGMENT and buffer not in state:
            for user in users[1:]:
                parent[root(user)] = root(users[0])
    groups: dict[int, list[int]] = {}
    for op in problem.ops:
        if any(b.space is Space.FRAGMENT and b not in state for b in op.uses):
            groups.setdefault(root(op.index), []).append(op.index)
    return sorted(groups.values())


def _free(problem: Problem, state: State, members: Sequence[int], memo: Memo) -> State:
    """The cheapest successful attempt over all roots and, as far as needed, less simple layouts of the root."""
    clashes: list[Clash] = []
    reduces = any(isinstance(problem.ops[m].stmt, Reduce) for m in members)
    best: tuple[tuple[int, int], State] | None = None
    for variant in range(VARIANTS):
        refused = len(clashes)
        for root in members:
            attempt = _attempt(problem, state, members, root, variant, memo)
            if isinstance(attempt, Clash):
                clashes.append(attempt)
                continue
            cost = _cost(problem, state, attempt, members, memo)
            if best is None or cost < best[0]:
                best = (cost, attempt)
        # Less simple layouts are tried where the simplest failed, and for reductions, which may stay in a warp.
        if best is not None and (variant or (len(clashes) == refused and not reduces)):
            break
    if best is None:
        raise clashes[0].raised
    return best[1]


def _attempt(
    problem: Problem, known: State, members: Sequence[int], root: int, variant: int, memo: Memo
) -> State | Clash:
    state = dict(known)
    waiting = list(members)
    index = root
    while waiting:
        waiting.remove(index)
        changed = _run(problem, problem.ops[index], Level.FREE, variant, state, memo)
        if isinstance(changed, Clash):
            return changed
        users = dict.fromkeys(u for b in changed for u in problem.users.get(b, ()) if u != index)
        clash = _propagate(problem, state, users, memo)
        if clash is not None:
            return clash
        index = min(waiting, key=lambda m: _invents(problem.ops[m], state), default=root)
    return _unfinished(problem, state, members, memo) or state


def _invents(op: Op, state: State) -> int:
    """How much of its own a statement would make up now: those that can follow a layout come first."""
    if not any(b in state for b in op.uses if b.space is Space.FRAGMENT):
        return 2
    # The result of a reduction does not say how its source lies.
    return 1 if isinstance(op.stmt, Reduce) and op.stmt.src.buffer not in state else 0


def _unfinished(problem: Problem, state: State, members: Sequence[int], memo: Memo) -> Clash | None:
    """A fragment that is still unknown, or a loop that no layout fits."""
    for index in members:
        op = problem.ops[index]
        for buffer in op.uses:
            if buffer.space is Space.FRAGMENT and buffer not in state:
                why = "no statement that uses it decides how to spread it"
                return Clash(error("TD0305", op.stmt.span, buffer=buffer.name, why=why))
        if isinstance(op.stmt, Parallel):
            loop = _loop(problem, op, state, memo)
            if isinstance(loop, Clash):
                return loop
    return None


def _loop(problem: Problem, op: Op, state: State, memo: Memo) -> Fragment | Clash | None:
    key = (op.index, tuple(state.get(b) and (state[b].layout, state[b].level) for b in op.uses))
    if key not in memo:
        memo[key] = choose_loop(op, state, Level.FREE, problem.setting_of(op))
    return cast(Fragment | Clash | None, memo[key])


def _cost(problem: Problem, before: State, after: State, members: Sequence[int], memo: Memo) -> tuple[int, int]:
    """(registers of the fragments decided here and sectors of global memory, accesses of each thread).

    Registers, sectors and steps of reductions are added: one costs about what another does.
    """
    cost = sum(a.layout.num_regs for b, a in after.items() if b not in before and isinstance(a.layout, Fragment))
    accesses = 0
    for index in members:
        op = problem.ops[index]
        if isinstance(op.stmt, Parallel) and (op.shared or op.touches_global):
            loop = _loop(problem, op, after, memo)
            assert isinstance(loop, Fragment)
            if op.touches_global:
                cost += _sectors(problem, op, loop, memo)
            accesses += loop.num_regs // min(vector_width(loop), loop_width(op, after, problem.setting_of(op)))
        elif isinstance(op.stmt, Reduce) and op.stmt.src.buffer in after:
            cost += _reduction_cost(after[op.stmt.src.buffer].layout, op.stmt.dim)
    return cost, accesses


def _reduction_cost(layout: Fragment | Layout, dim: int) -> int:
    """Shuffles of each thread; values and barriers that go through shared memory where several warps share a row."""
    if not isinstance(layout, Fragment) or (result := reduce_dim(layout, dim)) is None:
        return 0
    digits = thread_digits_along(layout, dim)
    shuffles = sum((extent - 1).bit_length() for extent, distance in digits if extent * distance <= WARP)
    crossing = any(extent * distance > WARP for extent, distance in digits)
    return result.num_regs * (shuffles + (CROSSING_VALUE if crossing else 0)) + (BARRIERS if crossing else 0)


def _sectors(problem: Problem, op: Op, loop: Fragment, memo: Memo) -> int:
    key = ("sectors", op.index, loop)
    if key not in memo:
        assert isinstance(op.stmt, Parallel)
        memo[key] = sectors(op.stmt, loop, problem.setting.divisors)
    return cast(int, memo[key])
