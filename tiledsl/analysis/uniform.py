"""Which values are equal across the threads of a block, and inside of a role across the threads of the role.

These may branch on such a value and still meet at a barrier inside the branch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tiledsl.ir.concurrent import BulkMove, Role, Roles, TensorCopy
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    AtomCall,
    AtomicUpdate,
    Block,
    Break,
    Buffer,
    Call,
    Continue,
    Expr,
    Extern,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Move,
    Node,
    Region,
    Space,
    Stmt,
    Store,
    Var,
    While,
)
from tiledsl.ir.ops import FUNCTIONS, Effect
from tiledsl.ir.tile import TILE_OPS, Parallel
from tiledsl.ir.walk import children, statements, walk


@dataclass(frozen=True)
class Uniform:
    """`differing` are variables, and variables in memory (VAR), that may have another value in another thread;
    `written` are global buffers that the launch writes, whose elements may change between the reads of two threads.
    `held`: memory in which an index means the same element for all threads, as tiles do at the tile stage."""

    differing: set[Var | Buffer] = field(default_factory=set)
    written: set[Buffer] = field(default_factory=set)
    held: tuple[Space, ...] = ()

    def __call__(self, e: Expr) -> bool:
        """Whether all threads of the block, or role, that evaluate `e` at the same place get the same value."""
        match e:
            case Var():
                return e not in self.differing
            case Load(buffer):
                readable = buffer.space is Space.GLOBAL and buffer not in self.written
                readable = readable or buffer.space in self.held
                if not readable and (buffer.space is not Space.VAR or buffer in self.differing):
                    return False
            case Call(fn) if FUNCTIONS[fn].effect is not Effect.PURE and fn != "warp_uniform":
                return False  # exchanged between lanes, each with its own result
            case Extern(pure=False):
                return False
        return all(self(c) for c in children(e) if isinstance(c, Expr))


def is_uniform(e: Expr, kernel: Kernel, launch: Launch) -> bool:
    """Whether `e` has one value for the whole block. For many questions make one `uniform_values`."""
    return uniform_values(kernel, launch)(e)


def uniform_values(kernel: Kernel, launch: Launch, held: tuple[Space, ...] = ()) -> Uniform:
    """What is uniform in `launch`: block indices, parameters and sizes, and what is computed from them alone.

    Assumes that all variables are uniform until one is seen to get a value that is not, or in a branch that is not
    taken by all; repeats until no more are found.
    """
    found = Uniform({launch.thread}, _written(launch), held)
    seen_in(launch.body, found)
    return found


def seen_in(block: Block, found: Uniform) -> None:
    """Adds what `block`, which all threads execute, shows to `found`."""
    count = 0
    while count != len(found.differing):
        count = len(found.differing)
        _visit(block, found, divergent=False)


def _written(launch: Launch) -> set[Buffer]:
    """Global buffers that a statement may write. Of those whose address is taken, and of tile operations, all count."""
    result: set[Buffer] = set()
    for node in walk(launch):
        if isinstance(node, (Store, AtomicUpdate, Address, Region)):
            result.add(node.buffer)
    return {b for b in result if b.space is Space.GLOBAL} - _only_read(launch)


def _only_read(launch: Launch) -> set[Buffer]:
    """Buffers that take part only as the source of moves, asynchronous copies and tile operations."""
    read: set[Buffer] = set()
    rest: set[Buffer] = set()
    for node in walk(launch):
        if not isinstance(node, (Stmt, Extern)):
            continue
        match node:
            case Move(dst, src) | TensorCopy(dst, src) | BulkMove(dst, src):
                read.add(src.buffer)
                rest.add(dst.buffer)
            case AtomCall(atom, args):
                addresses = [a.buffer for a in args if isinstance(a, Address)]
                source = addresses[1:] if atom.startswith("cp_async") else []
                read.update(source)
                rest.update(b for b in addresses if b not in source)
            case Store(buffer=b) | AtomicUpdate(buffer=b):
                rest.add(b)
            case Extern(_, args):
                rest.update(a.buffer for a in args if isinstance(a, Address))
            case Stmt() if isinstance(node, TILE_OPS) and not isinstance(node, Parallel):
                sources = {getattr(node, name).buffer for name in ("src", "a", "b", "image") if hasattr(node, name)}
                read.update(sources)
                target = getattr(node, "dst", None) or getattr(node, "c", None)
                rest.update({target.buffer} if target else set())
    return read - rest


def _visit(block: Block, found: Uniform, divergent: bool) -> None:
    for s in block:
        match s:
            case Let(var, value):
                _mark(var, divergent or not found(value), found)
            case Alloc(buffer, init) if buffer.space is Space.VAR and init is not None:
                _mark(buffer, divergent or not found(init), found)
            case Store(buffer, _, value) if buffer.space is Space.VAR:
                _mark(buffer, divergent or not found(value), found)
            case AtomicUpdate(result=Var() as var):
                _mark(var, True, found)
            case For(var, extent, body):
                inner = divergent or not found(extent)
                _mark(var, inner, found)
                _visit(body, found, inner or _some_threads_leave(body, found))
            case While(cond, body):
                _visit(body, found, divergent or not found(cond) or _some_threads_leave(body, found))
            case If(cond, then, orelse):
                inner = divergent or not found(cond)
                _visit(then, found, inner)
                _visit(orelse, found, inner)
            case Parallel(vars, _, body):
                for v in vars:
                    _mark(v, True, found)
                _visit(body, found, True)
            case Roles(roles):
                for role in roles:
                    _mark(role.thread, True, found)
                    _visit(role.body, found, divergent)
                    for b in _left_behind(role):
                        _mark(b, True, found)


def _left_behind(role: Role) -> set[Buffer]:
    """Variables in memory that the threads of a role change and those of others do not."""
    inside = list(statements(role))
    stored = {s.buffer for s in inside if isinstance(s, Store) and s.buffer.space is Space.VAR}
    return stored - {s.buffer for s in inside if isinstance(s, Alloc)}


def _some_threads_leave(block: Block, found: Uniform, divergent: bool = False) -> bool:
    """Whether a Break or Continue of the loop around `block` stands in a branch that not all threads take.

    The threads that stay then execute what the others do not.
    """
    for s in block:
        match s:
            case Break() | Continue() if divergent:
                return True
            case If(cond, then, orelse):
                inner = divergent or not found(cond)
                if _some_threads_leave(then, found, inner) or _some_threads_leave(orelse, found, inner):
                    return True
    return False


def _mark(node: Node, differs: bool, found: Uniform) -> None:
    if differs and isinstance(node, (Var, Buffer)):
        found.differing.add(node)
