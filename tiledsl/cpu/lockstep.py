"""Statements executed for all lanes of a domain at once: what the two NumPy executions share.

A *domain* is a shape of lanes: (blocks, threads) at the thread stage, (threads,) or the box of a `Parallel` at the tile
stage. A value is a scalar where all lanes agree, else an array that broadcasts to the domain. `mask` says which
lanes are on: None all, False none, else a bool array that broadcasts to the domain. Divergence is a smaller mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from tiledsl.cpu import foreign, printing, values
from tiledsl.cpu.masks import LoopState, Mask, narrow, union, without
from tiledsl.cpu.numerics import convert, numpy_dtype
from tiledsl.cpu.registers import IN_FLIGHT, Cell, Registers
from tiledsl.cpu.values import Value, is_uniform
from tiledsl.errors import NOWHERE, TileError, error
from tiledsl.ir import nodes as ir
from tiledsl.ir.dtypes import DType
from tiledsl.ir.types import dtype_of

Array = np.ndarray[Any, Any]


DTypes = dict[int, tuple[ir.Expr, DType]]  # dtype of expressions by id; shared by all blocks of a run


class Lockstep:
    """Scalar evaluation and control flow over one domain. Subclasses give memory and their own statements a meaning."""

    def __init__(self, domain: tuple[int, ...], check: bool, dtypes: DTypes) -> None:
        self.domain, self.check, self.dtypes = domain, check, dtypes
        self.mask: Mask = None
        self.env: dict[ir.Var, Value] = {}
        self.literals: dict[int, tuple[ir.Const, Value]] = {}  # by id
        self.safe: dict[ir.Buffer, ir.Expr] = {}  # what a guarded load yields out of bounds, in place of 0
        self.cells: dict[ir.Buffer, Cell] = {}
        self.registers: dict[ir.Buffer, Registers] = {}
        self.loop = LoopState()
        self.references: Mapping[str, Callable[..., Any]] = {}  # what the user's own CUDA functions compute
        self.evaluators: dict[type, Callable[[Any], Value]] = {
            ir.Const: self.literal,
            ir.Var: self.variable,
            ir.Unary: lambda e: values.unary(e.op, self.eval(e.a), self.dtype(e.a)),
            ir.Binary: self.binary,
            ir.Select: self.select,
            ir.Cast: lambda e: convert(self.eval(e.a), self.dtype(e.a), e.dtype, e.rounding, e.saturate),
            ir.Reinterpret: self.reinterpret,
            ir.Load: self.load,
            ir.Address: self.address,
            ir.Call: self.call,
            ir.Extern: self.extern,
        }
        self.executors: dict[type, Callable[[Any], None]] = {
            ir.Let: self.let,
            ir.Alloc: self.alloc,
            ir.View: self.view,
            ir.Store: self.store,
            ir.For: self.for_loop,
            ir.While: self.while_loop,
            ir.Break: lambda s: self.leave(broken=True),
            ir.Continue: lambda s: self.leave(broken=False),
            ir.If: self.branch,
            ir.Evaluate: lambda s: self.eval(s.value),
            ir.AtomicUpdate: self.atomic_update,
            ir.Print: self.print,
            ir.Assert: self.assertion,
            ir.Assume: self.assumption,
        }

    # ------------------------------------------------------------------------------------------------ expressions

    def eval(self, e: ir.Expr) -> Value:
        return self.evaluators[type(e)](e)

    def dtype(self, e: ir.Expr) -> DType:
        """`dtype_of`, remembered by identity (the expression is kept, so its id stays its own)."""
        found = self.dtypes.get(id(e))
        if found is None:
            found = self.dtypes[id(e)] = e, dtype_of(e)
        return found[1]

    def literal(self, e: ir.Const) -> Value:
        found = self.literals.get(id(e))
        if found is None:
            found = self.literals[id(e)] = e, values.constant(e.value, e.dtype)
        return found[1]

    def variable(self, e: ir.Var) -> Value:
        return self.env[e]

    def binary(self, e: ir.Binary) -> Value:
        if e.op in ("and", "or"):
            return self.short_circuit(e)
        return values.binary(e.op, self.eval(e.a), self.eval(e.b), self.dtype(e.a))

    def short_circuit(self, e: ir.Binary) -> Value:
        a = self.eval(e.a)
        if is_uniform(a):
            return bool(a) if bool(a) == (e.op == "or") else self.eval(e.b)
        b = self.under(a if e.op == "and" else ~a, e.b)
        if b is None:
            return a
        return a & b if e.op == "and" else a | b

    def under(self, cond: Value, e: ir.Expr) -> Value | None:
        """`e` evaluated by the lanes where `cond` holds; None where there are none."""
        saved = self.mask
        self.mask = narrow(saved, cond)
        try:
            return None if self.mask is False else self.eval(e)
        finally:
            self.mask = saved

    def select(self, e: ir.Select) -> Value:
        cond = self.eval(e.cond)
        if is_uniform(cond):
            return self.eval(e.a if cond else e.b)
        a, b = self.under(cond, e.a), self.under(~cond, e.b)
        if a is None or b is None:
            return b if a is None else a
        return np.where(cond, a, b)

    def reinterpret(self, e: ir.Reinterpret) -> Value:
        source, value = numpy_dtype(self.dtype(e.a)), self.eval(e.a)
        bits = np.ascontiguousarray(value, source).reshape(np.shape(value)).view(numpy_dtype(e.dtype))[()]
        return values.tidy(bits, e.dtype)

    def call(self, e: ir.Call) -> Value:
        args = [self.eval(a) for a in e.args]
        if e.fn in values.COLLECTIVES:
            return self.collective(e.fn, args)
        return values.call(e.fn, args, self.dtype(e.args[0]))

    def extern(self, e: ir.Extern) -> Value:
        function = self.references.get(e.fn)
        if function is None:
            raise error("TD0820", name=e.fn)
        return foreign.call(cast(foreign.Caller, self), e, function)

    def collective(self, fn: str, args: list[Value]) -> Value:
        """A function that exchanges values between the lanes of a warp."""
        raise NotImplementedError

    def full(self, value: Value) -> Array:
        """`value` for every lane, as a read-only view."""
        return np.broadcast_to(value, self.domain)

    def active(self, value: Value) -> Array:
        """The values of the lanes that are on, in lane order, one axis."""
        spread = self.full(value)
        return spread.reshape(-1) if self.mask is None else spread[self.full(self.mask)]

    # ------------------------------------------------------------------------------------------------- statements

    def run(self, block: ir.Block) -> None:
        for s in block:
            if self.mask is False:
                return
            self.execute(s)

    def execute(self, s: ir.Stmt) -> None:
        self.statement = s
        try:
            self.executors[type(s)](s)
        except TileError as raised:
            if raised.span is NOWHERE:
                raised.span = s.span
            raise

    def let(self, s: ir.Let) -> None:
        self.env[s.var] = self.eval(s.value)

    def alive(self, mask: Mask) -> Mask:
        return without(without(mask, self.loop.left), self.loop.skipped)

    def leave(self, broken: bool) -> None:
        if broken:
            self.loop.left = union(self.loop.left, self.mask)
        else:
            self.loop.skipped = union(self.loop.skipped, self.mask)
        self.mask = False

    def branch(self, s: ir.If) -> None:
        cond, saved = self.eval(s.cond), self.mask
        sides = ((s.then, cond), (s.orelse, (not cond) if is_uniform(cond) else ~cond))
        for block, taken in sides:
            if block:
                self.mask = narrow(saved, taken)
                self.run(block)
        self.mask = self.alive(saved)

    def for_loop(self, s: ir.For) -> None:
        extent = self.eval(s.extent)
        first, step = self.dealt() if isinstance(s.kind, ir.Persistent) else (0, 1)
        with self.looping() as entered:
            i = 0
            while True:
                at = first + i * step
                if is_uniform(at) and is_uniform(extent):
                    if at >= extent:
                        break
                    self.mask = self.alive(entered)
                else:
                    self.mask = narrow(self.alive(entered), np.less(at, extent))
                if self.mask is False:
                    break
                self.env[s.var] = values.constant(at, s.var.dtype) if is_uniform(at) else values.tidy(at, s.var.dtype)
                self.run(s.body)
                self.loop.skipped = False
                i += 1

    def while_loop(self, s: ir.While) -> None:
        with self.looping() as entered:
            while True:
                self.mask = self.alive(entered)
                if self.mask is False:
                    break
                self.mask = entered = narrow(self.mask, self.eval(s.cond))
                if self.mask is False:
                    break
                self.run(s.body)
                self.loop.skipped = False

    @contextmanager
    def looping(self) -> Iterator[Mask]:
        saved, outer = self.mask, self.loop
        self.loop = LoopState()
        yield saved
        self.loop, self.mask = outer, saved

    def dealt(self) -> tuple[Value, int]:
        """First tile and stride of a persistent loop for each block: tiles go to the blocks in turn."""
        raise NotImplementedError

    # --------------------------------------------------------------------------------------------- private memory

    def alloc(self, s: ir.Alloc) -> None:
        b = s.buffer
        if b.space is ir.Space.VAR:
            cell = self.cells[b] = Cell()
            if s.init is not None:
                cell.write(self.eval(s.init), None, self.domain)
        elif b.space is ir.Space.LOCAL:
            self.registers[b] = Registers.new(b, self.domain)
        else:
            self.alloc_shared(b)

    def alloc_shared(self, buffer: ir.Buffer) -> None:
        """Makes a buffer that the threads of a block share."""
        raise NotImplementedError

    def view(self, s: ir.View) -> None:
        if s.source in self.registers:
            self.registers[s.buffer] = self.registers[s.source].viewed(s.buffer)
        elif s.source in self.cells:
            raise TypeError(f"'{s.source.name}' is a scalar and cannot be viewed")
        else:
            self.view_shared(s)

    def view_shared(self, s: ir.View) -> None:
        raise NotImplementedError

    def load(self, e: ir.Load) -> Value:
        cell = self.cells.get(e.buffer)
        if cell is not None:
            return self.read_cell(e.buffer, cell)
        registers = self.registers.get(e.buffer)
        if registers is None:
            return self.load_memory(e)
        return self.read_registers(registers, self.offset_of(e.buffer, e.indices, e.version))

    def read_cell(self, buffer: ir.Buffer, cell: Cell) -> Value:
        if self.check and cell.lacks(self.mask):
            raise error("TD0803", buffer=buffer.name, place="", where=self.where())
        return cell.value

    def read_registers(self, registers: Registers, offset: Value) -> Value:
        self.require_registers(registers, offset, 1)
        return registers.read(offset)

    def require_registers(self, registers: Registers, offset: Value, count: int) -> None:
        """Raises TileError TD0803 or TD0862 where `count` registers cannot be read."""
        if self.check and not registers.is_ready(offset, count, self.mask):
            code = "TD0862" if registers.holds(IN_FLIGHT, offset, count, self.mask) else "TD0803"
            raise error(code, buffer=registers.buffer.name, place=f"[{self.show(offset)}]", where=self.where())

    def require_own(self, registers: Registers, offset: Value, count: int) -> None:
        """Raises TileError where the tensor core still uses registers that are to be written."""

    def store(self, s: ir.Store) -> None:
        value, b = self.eval(s.value), s.buffer
        cell = self.cells.get(b)
        if cell is not None:
            cell.write(value, self.mask, self.domain)
        elif b in self.registers:
            offset = self.offset_of(b, s.indices, s.version)
            self.require_own(self.registers[b], offset, 1)
            self.registers[b].write(offset, value, self.mask)
        else:
            self.store_memory(s, value)

    def outside(self, b: ir.Buffer) -> Value:
        """What a guarded load of `b` yields out of bounds."""
        value = self.safe.get(b)
        return values.constant(0, b.dtype) if value is None else self.eval(value)

    def load_memory(self, e: ir.Load) -> Value:
        raise NotImplementedError

    def store_memory(self, s: ir.Store, value: Value) -> None:
        raise NotImplementedError

    def address(self, e: ir.Address) -> Value:
        raise error("TD0820", name=f"the address of '{e.buffer.name}'")

    def offset_of(self, b: ir.Buffer, indices: tuple[ir.Expr, ...], version: ir.Expr | None) -> Value:
        """The row-major element offset in a buffer of static shape; checked dimension by dimension."""
        return self.linear(b, [self.index(i) for i in indices], None if version is None else self.index(version))

    def linear(self, b: ir.Buffer, at: list[Value], version: Value | None) -> Value:
        shape = ir.static_shape(b)
        if len(at) != len(shape):
            raise TypeError(f"'{b.name}' of rank {len(shape)} is accessed with {len(at)} indices")
        if version is not None:
            at, shape = [version, *at], (b.versions, *shape)
        elif b.versions > 1:
            raise TypeError(f"'{b.name}' has versions and the access says none")
        offset: Value = 0
        for axis, (i, extent) in enumerate(zip(at, shape)):
            self.inside(b, i, extent, axis - (version is not None))
            offset = i if axis == 0 else offset * extent + i
        return offset

    def index(self, e: ir.Expr) -> Value:
        """An index of any integer type as int or int64 array."""
        value = self.eval(e)
        if isinstance(value, np.ndarray):
            return value if value.dtype == np.int64 else value.astype(np.int64)
        return int(value)

    def inside(self, b: ir.Buffer, i: Value, extent: int, axis: int) -> None:
        """Raises TileError TD0802 if a lane that is on has an index outside 0 .. extent - 1."""
        if isinstance(i, int):
            if 0 <= i < extent:
                return
            bad = np.ones(self.domain, bool) if self.mask is None else self.full(self.mask)
        else:
            outside = (i < 0) | (i >= extent)
            if not outside.any():
                return
            bad = self.full(outside if self.mask is None else outside & self.mask)
            if not bad.any():
                return
        lane = tuple(int(x) for x in np.argwhere(bad)[0])
        found = int(self.full(i)[lane])
        what = "version" if axis < 0 else f"dimension {axis}"
        raise error("TD0802", buffer=b.name, what=what, index=found, extent=extent, where=self.where(lane))

    # ------------------------------------------------------------------------------------------------- the others

    def atomic_update(self, s: ir.AtomicUpdate) -> None:
        raise NotImplementedError

    def print(self, s: ir.Print) -> None:
        for text in printing.lines(s, [self.eval(a) for a in s.args], self.active):
            print(text)

    def assertion(self, s: ir.Assert) -> None:
        self.demand(s.cond, "TD0809", message=s.message or "no message")

    def assumption(self, s: ir.Assume) -> None:
        self.demand(s.cond, "TD0810")

    def demand(self, condition: ir.Expr, code: str, **facts: str) -> None:
        cond = self.eval(condition)
        failed = narrow(self.mask, (not cond) if is_uniform(cond) else ~cond)
        if failed is not False:
            bad = np.ones(self.domain, bool) if failed is None else self.full(failed)
            raise error(code, NOWHERE, (), **facts, where=self.where(tuple(int(x) for x in np.argwhere(bad)[0])))

    def where(self, lane: tuple[int, ...] | None = None) -> str:
        """For a message: block and thread of `lane`, or of the first lane that is on."""
        if lane is None:
            on = np.ones(self.domain, bool) if self.mask is None else self.full(self.mask)
            lane = tuple(int(x) for x in np.argwhere(on)[0])
        return self.name_lane(lane)

    def name_lane(self, lane: tuple[int, ...]) -> str:
        raise NotImplementedError

    def show(self, value: Value) -> str:
        """A value of the first lane that is on."""
        return str(value) if is_uniform(value) else str(self.active(value)[0])
