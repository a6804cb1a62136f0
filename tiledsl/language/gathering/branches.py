"""Branches on the number of the thread that divide a block into warpgroups are roles, written in another way."""

from __future__ import annotations

from typing import TypeAlias

from tiledsl.ir.concurrent import WARPGROUP, Arrive, Await, Expect, NamedArrive, Role, Roles, SetRegisters
from tiledsl.ir.nodes import Binary, Block, Const, Expr, If, Launch, Node, Stmt, Var
from tiledsl.ir.walk import map_children, may_leave, walk

_OF_ROLES = (Arrive, Await, Expect, NamedArrive, SetRegisters)
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
Threads: TypeAlias = "tuple[int, int]"  # threads from the first number on, to the second exclusively


def thread_branches(launch: Launch) -> Launch:
    """The launch with `if thread < 128: ... else: ...` as roles, where the branches synchronise like roles."""
    if not any(isinstance(n, _OF_ROLES) for n in walk(launch)):
        return launch

    def visit(node: Node) -> Node:
        if isinstance(node, If) and any(isinstance(n, _OF_ROLES) for n in walk(node)):
            found = _branches(node, launch.thread, (0, launch.num_threads))
            if found:
                return Roles(tuple(_role(block, part) for part, block in found), span=node.span)
        return map_children(node, visit) if isinstance(node, Stmt | Launch) and not isinstance(node, Roles) else node

    result = visit(launch)
    assert isinstance(result, Launch)
    return result


def _role(block: Block, threads: Threads) -> Role:
    first, end = threads
    registers = 0
    if block and isinstance(block[0], SetRegisters):
        registers, block = block[0].count, block[1:]
    return Role(f"from{first}", first, end - first, Var(f"t{first // WARPGROUP}"), block, registers)


def _branches(s: If, thread: Var, within: Threads) -> list[tuple[Threads, Block]] | None:
    """The threads and statements of each branch; None if one is not of whole warpgroups that are neighbours."""
    taken = _range(s.cond, thread, within)
    if taken is None or may_leave((*s.then, *s.orelse)):
        return None
    (low, high), (first, end) = within, taken
    if first >= end or first % WARPGROUP or end % WARPGROUP or (first > low and end < high and s.orelse):
        return None
    found = [(taken, s.then)]
    rest = (low, first) if first > low else (end, high)
    if s.orelse and rest[0] < rest[1]:
        inner = s.orelse[0]
        deeper = _branches(inner, thread, rest) if len(s.orelse) == 1 and isinstance(inner, If) else None
        if rest[0] % WARPGROUP or rest[1] % WARPGROUP:
            return None
        found += deeper or [(rest, s.orelse)]
    return sorted(found, key=lambda part: part[0])


def _range(cond: Expr, thread: Var, within: Threads) -> Threads | None:
    """The threads of `within` for which `cond` holds, if it is a bound on their number."""
    low, high = within
    match cond:
        case Binary("and", a, b):
            first = _range(a, thread, within)
            return None if first is None else _range(b, thread, first)
        case Binary(op, Const(), Var() as x) if x is thread and op in _MIRRORED:
            return _range(Binary(_MIRRORED[op], x, cond.a), thread, within)
        case Binary("<" | "<=" | ">" | ">=" as op, Var() as x, Const(int() as bound)) if x is thread:
            bound += op in ("<=", ">")
            return (low, min(high, bound)) if op in ("<", "<=") else (max(low, bound), high)
    return None
