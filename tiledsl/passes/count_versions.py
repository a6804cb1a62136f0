"""count-versions: the remainders that select copies of a buffer become counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

from tiledsl.ir.nodes import (
    Alloc,
    Binary,
    Block,
    Buffer,
    Const,
    Continue,
    Expr,
    For,
    Kernel,
    Let,
    Load,
    Node,
    Select,
    Serial,
    Space,
    Stmt,
    Store,
    Var,
    While,
)
from tiledsl.ir.walk import children, map_children, rewrite, walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import thread_stage

Remainder = tuple[Expr, int, int]  # (expression, offset, modulus): (loop variable + offset) % modulus


@kernel_pass(requires=[thread_stage])
def count_versions(kernel: Kernel) -> Kernel:
    """`(k + c) % n` in a serial loop over k becomes a variable that is compared with n - 1 and reset.

    A remainder costs several instructions, and the C++ compiler spreads them over all addresses that use it. One that
    another remainder is ahead of by 1 takes over its value: with n copies the next to write is the one read now. Safe
    because k runs from 0 in steps of 1; a loop whose body may `continue` past the step of the counter is left alone.
    """
    return replace(
        kernel,
        launches=tuple(replace(x, body=_block(x.body)) for x in kernel.launches),
    )


def _block(block: Block) -> Block:
    return tuple(t for s in block for t in _statement(s))


def _statement(s: Stmt) -> Block:
    s = map_children(s, lambda n: _statement(n) if isinstance(n, Stmt) else n)
    if not isinstance(s, For) or not isinstance(s.kind, Serial) or _may_continue(s.body):
        return (s,)
    found = list(dict.fromkeys(_remainders(s.body, s.var)))
    return _counted(s, found) if found else (s,)


def _may_continue(block: Block) -> bool:
    """Whether the body may go on with the next iteration from its middle."""
    return any(isinstance(n, Continue) for s in block for n in _own(s))


def _own(s: Node) -> Iterator[Node]:
    """`s` and what is below it, without the bodies of inner loops."""
    yield s
    if not isinstance(s, (For, While)):
        for child in children(s):
            yield from _own(child)


def _remainders(block: Block, var: Var) -> Iterator[Remainder]:
    for s in block:
        for n in walk(s):
            if isinstance(n, Binary) and (modulus := _modulus(n)) > 1:
                match n.a:
                    case Var() as x if x is var:
                        yield n, 0, modulus
                    case Binary("+", Var() as x, Const(int(offset))) if x is var and offset >= 0:
                        yield n, offset, modulus


def _modulus(e: Binary) -> int:
    """n where `e` is a remainder by n, also written as a mask; else 0."""
    match e:
        case Binary("%" | "rem", _, Const(int(n))):
            return n
        case Binary("&", _, Const(int(mask))) if mask > 0 and mask & (mask + 1) == 0:
            return mask + 1
    return 0


def _counted(loop: For, found: list[Remainder]) -> Block:
    dtype = loop.var.dtype
    before: list[Stmt] = []
    first: list[Stmt] = []
    last: list[Stmt] = []
    now = {(offset % modulus, modulus): Var("slot", dtype) for _, offset, modulus in found}
    for (start, modulus), var in now.items():
        counter = Buffer("slot", (), dtype, Space.VAR)
        before.append(Alloc(counter, Const(start, dtype)))
        first.append(Let(var, Load(counter, ())))
        following: Expr | None = now.get(((start + 1) % modulus, modulus))  # what that one is now
        if following is None:
            at_end = Binary("==", var, Const(modulus - 1, dtype))
            following = Select(at_end, Const(0, dtype), Binary("+", var, Const(1, dtype)))
        last.append(Store(counter, (), following))
    names: dict[Expr, Var] = {e: now[offset % modulus, modulus] for e, offset, modulus in found}
    body = tuple(cast(Stmt, _renamed(s, names)) for s in loop.body)
    return (*before, replace(loop, body=(*first, *body, *last)))


def _renamed(node: Node, names: Mapping[Expr, Var]) -> Node:
    return cast(Node, rewrite(node, lambda n: names.get(n, n) if isinstance(n, Binary) else n))
