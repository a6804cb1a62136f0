"""Well-formedness of any kernel at any stage. Conditions of single passes live in `passes/facts.py`.

`verify` runs after every pass, so it walks the kernel once and does constant work at each node.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from tiledsl.errors import TileError, locate, locating
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.dtypes import HANDLE, UINT64
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.nodes import (
    Alloc,
    Assert,
    Assume,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Block,
    Break,
    Buffer,
    Const,
    Continue,
    Evaluate,
    Extent,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Move,
    Print,
    Select,
    Space,
    Stmt,
    Store,
    Var,
    Vectorized,
    View,
    While,
)
from tiledsl.ir.scopes import Scope, fail
from tiledsl.ir.tile import TILE_OPS, Parallel
from tiledsl.ir.verify_concurrent import CONCURRENT_RULES, possible_registers
from tiledsl.ir.verify_host import require_host
from tiledsl.ir.verify_tiles import TILE_RULES

_UPDATES = ("add", "max", "min", "and", "or", "xor", "exch", "load", "store")
_MAX_CLUSTER = 16  # blocks; CUDA C++ Programming Guide, "Thread Block Clusters"
_MAX_BARRIERS = 16  # PTX ISA, "bar.sync": barrier resources 0 to 15
_MAX_MOVE_BITS = 256  # PTX ISA, "ld": .v8 of 32-bit elements


def verify(kernel: Kernel) -> None:
    """Raises VerifyError unless the kernel is well-formed.

    That is: everything is bound once, before its use and in scope; accesses have the rank of their buffer, and a
    version exactly where there are several; dtypes agree; buffers and operands live where they may; shapes of tile
    operations agree; Break and Continue are in loops; the tables of a launch name its own buffers.
    """
    _Verifier().kernel(kernel)


class _Verifier:
    def __init__(self) -> None:
        self.scope = Scope()
        self.loops = 0  # how many loops Break could leave here
        self.in_parallel = False
        self.threads = 0  # of the launch; 0 inside a role

    # ---- whole kernels

    def kernel(self, k: Kernel) -> None:
        with locating(k.span):
            for p in (*k.sizes, *(p for p in k.params if isinstance(p, Var))):
                self.scope.bind(p)
            for size in k.sizes:
                if not size.dtype.is_integer:
                    raise fail(f"the size '{size.name}' is {size.dtype}")
            for b in (*(p for p in k.params if isinstance(p, Buffer)), *k.scratch):
                if b.space is not Space.GLOBAL:
                    raise fail(f"'{b.name}' is a parameter or scratch, but in {b.space.value} memory")
                self.declare(b)
            if strange := [r.name for r in k.results if r not in k.params]:
                raise fail(f"the result '{strange[0]}' is no parameter")
            if len({launch.name for launch in k.launches}) != len(k.launches):
                raise fail("two launches have one name")
        for launch in k.launches:
            with locating(launch.span):
                self.launch(launch)
                require_host(k, launch)

    def launch(self, launch: Launch) -> None:
        mark = len(self.scope.log)
        self.threads = launch.num_threads
        if not 1 <= len(launch.grid) <= 3 or len(launch.grid) != len(launch.blocks):
            raise fail(f"a grid of {len(launch.grid)} extents with {len(launch.blocks)} block indices")
        if not 1 <= len(launch.threads) <= 3 or min(launch.threads) < 1:
            raise fail(f"no block of threads {launch.threads}")
        size, beyond = launch.cluster, launch.cluster[len(launch.grid) :]
        if len(size) > 3 or any(n < 1 for n in size) or prod(size) > _MAX_CLUSTER or any(n > 1 for n in beyond):
            raise fail(f"clusters of {size} blocks in a grid of {len(launch.grid)} extents")
        if len(launch.registers) not in (0, 2) or not all(n == 0 or possible_registers(n) for n in launch.registers):
            raise fail(f"a launch with {launch.registers} registers for threads that copy and that compute")
        for extent in launch.grid:
            self.scope.integer(extent, "a grid extent")
        for v in (*launch.blocks, launch.thread):
            if not v.dtype.is_integer:
                raise fail(f"the block or thread index '{v.name}' is {v.dtype}")
            self.scope.bind(v)
        before = set(self.scope.ever)
        self.block(launch.body)
        own = self.scope.ever - before
        for value in launch.safe_values:
            if value.buffer not in own:
                self.scope.buffer(value.buffer)
            self.scope.value(value.value, value.buffer.dtype, f"the safe value of '{value.buffer.name}'")
        self.tables(launch, own)
        self.handovers(launch, own)
        self.scope.leave(mark)

    def tables(self, launch: Launch, own: set[Any]) -> None:
        """The layouts and places of a launch's own buffers, each at most once."""
        for rows in (launch.layouts, launch.shared, launch.safe_values):
            if len({row.buffer for row in rows}) != len(rows):
                raise fail(f"a buffer is twice in one table of '{launch.name}'")
        for row in launch.layouts:
            b, layout = row.buffer, row.layout
            if b not in own:
                raise fail(f"there is a layout for '{b.name}', which '{launch.name}' does not allocate")
            if not isinstance(layout, Fragment if b.space is Space.FRAGMENT else Layout):
                raise fail(f"'{b.name}' is in {b.space.value} memory and has a {type(layout).__name__}")
            if layout.shape != b.shape:
                raise fail(f"'{b.name}' has shape {b.shape}, its layout {layout.shape}")
        for slot in launch.shared:
            b = slot.buffer
            if b not in own or b.space not in (Space.SHARED, Space.BARRIER):
                raise fail(f"there is a place for '{b.name}', which is no shared buffer of '{launch.name}'")
            end = slot.offset + b.versions * prod(n for n in b.shape if isinstance(n, int)) * b.dtype.bits // 8
            if slot.offset < 0 or end > launch.shared_bytes:
                raise fail(f"'{b.name}' lies at {slot.offset} to {end} of {launch.shared_bytes} bytes")

    def handovers(self, launch: Launch, own: set[Any]) -> None:
        """What the user wants a producer to copy: own tiles in shared memory, each in one ring at most."""
        tiles = [b for h in launch.handovers for b in h.tiles]
        if len(set(tiles)) != len(tiles):
            raise fail(f"a tile is handed over twice in '{launch.name}'")
        for h in launch.handovers:
            if h.depth < 1 or not h.tiles:
                raise fail(f"a handover of {len(h.tiles)} tiles in {h.depth} versions")
            for b in h.tiles:
                if b not in own or b.space is not Space.SHARED:
                    raise fail(f"'{b.name}' is handed over, but is no shared tile of '{launch.name}'")

    def declare(self, b: Buffer) -> None:
        """Binds a buffer after checking its shape, strides, versions and memory."""
        for extent in (*b.shape, *(b.strides or ())):
            self.extent(b, extent)
        if any(isinstance(n, int) and n < 1 for n in b.shape):
            raise fail(f"'{b.name}' has the shape {b.shape}")
        if b.strides is not None and (b.space is not Space.GLOBAL or len(b.strides) != len(b.shape)):
            raise fail(f"'{b.name}' cannot have the strides {b.strides}")
        if b.versions < 1 or (b.versions > 1 and b.space in (Space.GLOBAL, Space.VAR)):
            raise fail(f"'{b.name}' is in {b.space.value} memory and has {b.versions} versions")
        if b.space is Space.VAR and b.shape:
            raise fail(f"variable '{b.name}' has the shape {b.shape}")
        if b.dtype is HANDLE:
            raise fail(f"'{b.name}' has elements of dtype {HANDLE}: addresses are not stored")
        if b.space is Space.BARRIER and b.dtype is not UINT64:
            raise fail(f"barrier '{b.name}' is {b.dtype}")
        self.scope.bind(b)

    def extent(self, b: Buffer, extent: Extent) -> None:
        if isinstance(extent, int):
            return
        if b.space is not Space.GLOBAL:
            raise fail(f"'{b.name}' is in {b.space.value} memory and has a dynamic extent")
        if isinstance(extent, Const):
            raise fail(f"'{b.name}' has the extent {extent.value} as an expression: a known extent is an int")
        self.scope.integer(extent, f"an extent of '{b.name}'")

    # ---- statements

    def block(self, block: Block) -> None:
        mark = len(self.scope.log)
        for s in block:
            try:
                self.stmt(s)
            except TileError as raised:
                locate(raised, s.span)
                raise
        self.scope.leave(mark)

    def stmt(self, s: Stmt) -> None:
        kind = type(s)
        if self.in_parallel and kind in TILE_OPS:
            raise fail(f"{kind.__name__} works on whole tiles, so it cannot be in Parallel")
        if (rule := _RULES.get(kind)) is not None:
            rule(self, s)
        elif kind in TILE_RULES:
            TILE_RULES[kind](self.scope, s)
        elif kind in CONCURRENT_RULES:
            CONCURRENT_RULES[kind](self.scope, s)
        else:
            raise fail(f"{kind.__name__} is no statement")

    def loop(self, body: Block, *variables: Var) -> None:
        mark = len(self.scope.log)
        for v in variables:
            self.scope.bind(v)
        self.loops += 1
        self.block(body)
        self.loops -= 1
        self.scope.leave(mark)


# ------------------------------------------------------------------------------------------- scalar statements


def _let(v: _Verifier, s: Let) -> None:
    v.scope.value(s.value, s.var.dtype, f"the value of '{s.var.name}'")
    v.scope.bind(s.var)


def _alloc(v: _Verifier, s: Alloc) -> None:
    if s.buffer.space is Space.GLOBAL:
        raise fail(f"global buffer '{s.buffer.name}' cannot be allocated in a kernel")
    if s.init is not None:
        if s.buffer.space not in (Space.VAR, Space.BARRIER):
            raise fail(f"'{s.buffer.name}' is no variable but has an initial value")
        v.scope.value(s.init, s.buffer.dtype, f"the initial value of '{s.buffer.name}'")
    v.declare(s.buffer)


def _view(v: _Verifier, s: View) -> None:
    v.scope.buffer(s.source)
    v.declare(s.buffer)
    if s.buffer.space is not s.source.space or s.buffer.versions != s.source.versions:
        raise fail(f"'{s.buffer.name}' views '{s.source.name}', which is in another memory or has other versions")
    static = [[n for n in b.shape if isinstance(n, int)] for b in (s.buffer, s.source)]
    if len(static[0]) == len(s.buffer.shape) and len(static[1]) == len(s.source.shape):
        bits, whole = (prod(n) * b.dtype.bits for n, b in zip(static, (s.buffer, s.source)))
        if bits != whole:
            raise fail(f"'{s.buffer.name}' has {bits} bits, '{s.source.name}' has {whole}")


def _store(v: _Verifier, s: Store) -> None:
    v.scope.indices(s.buffer, s.indices, s.version)
    if s.buffer.space is Space.BARRIER:
        raise fail(f"barrier '{s.buffer.name}' cannot be written")
    v.scope.value(s.value, s.buffer.dtype, f"the value stored to '{s.buffer.name}'")
    if s.asynchronous:
        loaded = s.value
        while isinstance(loaded, Select):  # guards: of the program's, of its bounds
            loaded = loaded.a
        if (
            s.buffer.space is not Space.SHARED
            or not isinstance(loaded, Load)
            or loaded.buffer.space is not Space.GLOBAL
        ):
            raise fail("an asynchronous store copies from global to shared memory")


def _for(v: _Verifier, s: For) -> None:
    v.scope.value(s.extent, s.var.dtype, f"the extent of the loop over '{s.var.name}'")
    if not s.var.dtype.is_integer:
        raise fail(f"the loop variable '{s.var.name}' is {s.var.dtype}")
    if isinstance(s.kind, Vectorized) and not isinstance(s.extent, Const):
        raise fail(f"the vectorised loop over '{s.var.name}' has no constant extent")
    v.loop(s.body, s.var)


def _while(v: _Verifier, s: While) -> None:
    v.scope.condition(s.cond, "the condition of while")
    v.loop(s.body)


def _if(v: _Verifier, s: If) -> None:
    v.scope.condition(s.cond, "the condition of if")
    v.block(s.then)
    v.block(s.orelse)


def _leave(v: _Verifier, s: Break | Continue) -> None:
    if not v.loops:
        raise fail(f"{type(s).__name__} is in no loop")


def _evaluate(v: _Verifier, s: Evaluate) -> None:
    v.scope.expr(s.value)


def _atomic_update(v: _Verifier, s: AtomicUpdate) -> None:
    v.scope.indices(s.buffer, s.indices, None)
    if s.op not in _UPDATES:
        raise fail(f"unknown atomic operation '{s.op}'")
    if s.buffer.space not in (Space.GLOBAL, Space.SHARED):
        raise fail(f"'{s.buffer.name}' is in {s.buffer.space.value} memory: no atomic operations there")
    v.scope.value(s.value, s.buffer.dtype, f"the operand for '{s.buffer.name}'")
    if s.result is not None:
        if s.result.dtype is not s.buffer.dtype:
            raise fail(f"'{s.result.name}' is {s.result.dtype}, '{s.buffer.name}' {s.buffer.dtype}")
        v.scope.bind(s.result)


def _barrier(v: _Verifier, s: Barrier) -> None:
    if not 0 <= s.id < _MAX_BARRIERS or s.count < 0 or s.count % 32:
        raise fail(f"no barrier {s.id} for {s.count} threads")


def _roles(v: _Verifier, s: Roles) -> None:
    if not v.threads or v.in_parallel:
        raise fail("roles cannot be inside of another role or of Parallel")
    threads, v.threads = v.threads, 0
    taken: set[int] = set()
    for role in s.roles:
        here = set(range(role.first, role.first + role.threads))
        if role.threads < 1 or role.first < 0 or role.first + role.threads > threads:
            raise fail(f"role '{role.name}' has {role.threads} threads from {role.first} on, the block {threads}")
        if here & taken:
            raise fail(f"role '{role.name}' shares threads with another")
        if role.registers and not possible_registers(role.registers):
            raise fail(f"role '{role.name}' has {role.registers} registers: a multiple of 8 from 24 to 256 is possible")
        taken |= here
        outer, v.loops = v.loops, 0  # Break cannot leave a role
        mark = len(v.scope.log)
        v.scope.bind(role.thread)
        v.block(role.body)
        v.scope.leave(mark)
        v.loops = outer
    v.threads = threads


def _atom_call(v: _Verifier, s: AtomCall) -> None:
    for a in s.args:
        v.scope.expr(a)


def _move(v: _Verifier, s: Move) -> None:
    v.scope.expr(s.dst)
    v.scope.expr(s.src)
    dst, src = s.dst.buffer, s.src.buffer
    if dst.dtype is not src.dtype:
        raise fail(f"a move from '{src.name}', {src.dtype}, to '{dst.name}', {dst.dtype}")
    if (dst.space is Space.LOCAL) == (src.space is Space.LOCAL):
        raise fail(f"a move from {src.space.value} to {dst.space.value} memory")
    bits = s.lanes * dst.dtype.bits
    if s.lanes < 1 or bits > _MAX_MOVE_BITS or bits & (bits - 1) or bits < 8:
        raise fail(f"a move of {s.lanes} lanes of {dst.dtype}")


def _print(v: _Verifier, s: Print) -> None:
    for a in s.args:
        v.scope.expr(a)
    if s.buffer is not None:
        v.scope.buffer(s.buffer)


def _claim(v: _Verifier, s: Assert | Assume) -> None:
    v.scope.condition(s.cond, f"the condition of {type(s).__name__}")


def _parallel(v: _Verifier, s: Parallel) -> None:
    if len(s.vars) != len(s.extents) or any(n < 1 for n in s.extents):
        raise fail(f"Parallel with {len(s.vars)} variables over {s.extents}")
    if any(not x.dtype.is_integer for x in s.vars):
        raise fail("a variable of Parallel is no integer")
    if s.layout is not None and s.layout.shape != s.extents:
        raise fail(f"Parallel over {s.extents} has a layout of {s.layout.shape}")
    outer, v.loops, v.in_parallel = v.loops, -1, True  # Break cannot leave Parallel
    v.loop(s.body, *s.vars)
    v.loops, v.in_parallel = outer, False


_RULES: dict[type[Stmt], Callable[[_Verifier, Any], None]] = {
    Let: _let,
    Alloc: _alloc,
    View: _view,
    Store: _store,
    For: _for,
    While: _while,
    If: _if,
    Break: _leave,
    Continue: _leave,
    Evaluate: _evaluate,
    AtomicUpdate: _atomic_update,
    Barrier: _barrier,
    Roles: _roles,
    AtomCall: _atom_call,
    Move: _move,
    Print: _print,
    Assert: _claim,
    Assume: _claim,
    Parallel: _parallel,
}
