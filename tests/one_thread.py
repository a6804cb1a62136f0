"""What one thread of a kernel with roles executes: its stores and copies, on plain integers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiledsl.ir.concurrent import Roles
from tiledsl.ir.nodes import Binary, Block, Const, Expr, For, If, Let, Store, Var
from tiledsl.ir.ops import BINARY
from tiledsl.ir.tile import Copy

Env = dict[Var, int]


def evaluate(e: Expr, env: Env) -> int:
    match e:
        case Const(value):
            return int(value)
        case Var():
            return env[e]
        case Binary(op, a, b):
            return int(BINARY[op].eval(evaluate(a, env), evaluate(b, env)))
    raise TypeError(type(e).__name__)


def executed(block: Block, thread: int, env: Env) -> Iterator[tuple[Any, ...]]:
    """The stores and copies of one thread, in its order, with the numbers that they depend on."""
    for s in block:
        match s:
            case Store(buffer, indices, value):
                yield buffer.name, *(evaluate(e, env) for e in (*indices, value))
            case Copy(src, dst):
                yield "copy", src.buffer.name, *(evaluate(e, env) for e in (*src.offsets, *dst.offsets))
            case Let(var, value):
                env = {**env, var: evaluate(value, env)}
            case If(cond, then, orelse):
                yield from executed(then if evaluate(cond, env) else orelse, thread, env)
            case For(var, extent, body):
                for i in range(evaluate(extent, env)):
                    yield from executed(body, thread, {**env, var: i})
            case Roles(found):
                for r in found:
                    if r.first <= thread < r.first + r.threads:
                        yield from executed(r.body, thread, {**env, r.thread: thread - r.first})
