"""What belongs to threads alone, fragments and variables, goes into the role whose threads use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tiledsl.errors import NOWHERE, Span, error
from tiledsl.ir.concurrent import Role, Roles
from tiledsl.ir.nodes import Alloc, Block, Buffer, For, If, Let, Node, Space, Stmt, Var, View, While
from tiledsl.ir.walk import rewrite, statement_fields, walk

_PRIVATE = (Space.FRAGMENT, Space.LOCAL, Space.VAR)


def used_by_each(binds: Sequence[Stmt], roles: Sequence[Role], bodies: Sequence[Block]) -> list[Block]:
    """Each body with the binds in front that it needs; in all but the first that needs one it has a name of its own.

    Raises TileError TD0506 for a fragment that several bodies use.
    """
    owners: dict[Node, int] = {}
    result: list[Block] = []
    for i, body in enumerate(bodies):
        needed = _names(body)
        mine: list[Stmt] = []
        for s in reversed(binds):
            if bound_by(s) in needed:
                mine.insert(0, s)
                needed |= _names((s,))
        fresh: dict[Node, Node] = {}
        for s in mine:
            name = bound_by(s)
            if name in owners:
                if isinstance(name, Buffer) and name.space is Space.FRAGMENT:
                    j = owners[name]
                    raise _shared(name, (bodies[j], _of(roles[j])), (body, _of(roles[i])))
                fresh[name] = replace(name) if isinstance(name, Buffer) else Var(name.name, name.dtype)
            owners.setdefault(name, i)
        result.append(_renamed((*mine, *body), fresh))
    return result


def bound_by(s: Stmt) -> Var | Buffer:
    """What a `Let`, `Alloc` or `View` binds."""
    if isinstance(s, Let):
        return s.var
    assert isinstance(s, Alloc | View)
    return s.buffer


def _renamed(block: Block, fresh: Mapping[Node, Node]) -> Block:
    if not fresh:
        return block
    return tuple(rewrite(s, lambda n: fresh.get(n, n) if isinstance(n, Var | Buffer) else n) for s in block)


def _names(block: Block) -> set[Node]:
    return {n for s in block for n in walk(s) if isinstance(n, Var | Buffer)}


def sunk(block: Block) -> Block:
    """`block` with the allocations of private memory in the role that alone uses it, also deeper down.

    Variables and arrays of single threads that several roles use, but nobody else, exist once in each of them.
    """
    result = [_below(s) for s in block]
    for s in block:
        if not isinstance(s, Alloc) or s.buffer.space not in _PRIVATE:
            continue
        group = _with_views(s, result)
        names = {bound_by(g) for g in group}
        users = [x for x in result if x not in group and _names((x,)) & names]
        if not any(isinstance(n, Roles) for x in users for n in walk(x)):
            continue
        at = users[0]
        if len(users) == 1 and isinstance(at, Roles):
            bodies = used_by_each(group, at.roles, [r.body for r in at.roles])
            roles = tuple(replace(r, body=body) for r, body in zip(at.roles, bodies))
            result = [replace(x, roles=roles) if x is at else x for x in result if x not in group]
        elif s.buffer.space is Space.FRAGMENT:
            raise _scattered(s.buffer, names, users)
    return tuple(result)


def _below(s: Stmt) -> Stmt:
    if isinstance(s, For | If | While):
        inside = {name: sunk(getattr(s, name)) for name in statement_fields(type(s))}
        return replace(s, **inside)  # type: ignore[arg-type]
    return s


def _with_views(s: Alloc, block: Sequence[Stmt]) -> list[Stmt]:
    """The allocation and the views of it."""
    group: list[Stmt] = [s]
    for x in block:
        if isinstance(x, View) and x.source in map(bound_by, group):
            group.append(x)
    return group


# --------------------------------------------------------------------------------------------------------- errors


def _of(role: Role) -> str:
    return f"threads {role.first} to {role.first + role.threads - 1}"


def _shared(buffer: Buffer, first: tuple[Block, str], second: tuple[Block, str]) -> Exception:
    here, there = _place(first[0], {buffer}), _place(second[0], {buffer})
    return error("TD0506", there, (("used first here", here),), name=buffer.name, first=first[1], second=second[1])


def _scattered(buffer: Buffer, names: set[Var | Buffer], users: Sequence[Stmt]) -> Exception:
    """The error for a fragment that is used in a role and elsewhere."""
    uses = [(who, place) for s in users for who, place in _uses(s, names)]
    who, place = uses[0]
    other, there = next(((w, p) for w, p in uses if w != who), uses[-1])
    if other == who:
        other = "the same threads again, after work that all threads do together"
    return error("TD0506", there, (("used first here", place),), name=buffer.name, first=who, second=other)


def _uses(s: Stmt, names: set[Var | Buffer]) -> list[tuple[str, Span]]:
    """Who uses one of `names` in `s`, and where."""
    if isinstance(s, Roles):
        return [(_of(r), _place(r.body, names)) for r in s.roles if _names(r.body) & names]
    if isinstance(s, For | If | While):
        return [use for name in statement_fields(type(s)) for x in getattr(s, name) for use in _uses(x, names)]
    return [("all threads of the block", s.span)] if _names((s,)) & names else []


def _place(block: Block, names: set[Var | Buffer] | set[Buffer]) -> Span:
    """The innermost statement of `block` that uses one of `names`."""
    for s in block:
        if _names((s,)) & names:
            inner = [x for name in statement_fields(type(s)) for x in getattr(s, name) if isinstance(x, Stmt)]
            found = _place(tuple(inner), names)
            return s.span if found is NOWHERE else found
    return NOWHERE
