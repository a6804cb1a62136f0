"""CUDA C++ from a kernel whose statements are all per-thread. It prints what the passes decided and decides nothing.

The kernel text includes nothing and calls only functions of the device API, namespace `tds`. `cuda_text` pastes those
it uses above it; for the host compiler `cpu/native/device.h` takes their place. The kernel text is the same in both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tiledsl.codegen.convert import cast
from tiledsl.codegen.device_api import device_functions
from tiledsl.codegen.expr import Expressions
from tiledsl.codegen.pairs import Pairs, as_pairs
from tiledsl.codegen.spelling import RESERVED, format_letter, short_name, string_literal, type_name
from tiledsl.errors import NOWHERE, Span
from tiledsl.ir.dtypes import FLOAT32, HANDLE, DType
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Assert,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Block,
    Break,
    Buffer,
    Const,
    Continue,
    Evaluate,
    Expr,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Move,
    Print,
    Select,
    Serial,
    SharedSlot,
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    Vectorized,
    View,
    While,
    static_shape,
)
from tiledsl.ir.printer import Names


@dataclass(frozen=True, slots=True)
class Entry:
    """One `__global__` function: `params` are the names of the kernel's tensors, scalars and sizes in its order.

    It is launched in blocks of `threads` threads in one dimension with `shared_bytes` bytes of dynamic shared memory.
    `written` are those of the tensors that it stores to, `places` the line of its text where each statement begins.
    `shared` is its shared memory: name, offset, bytes, bytes of one version and bytes of one element of each tile.
    """

    name: str
    launch: int
    threads: int
    shared_bytes: int
    params: tuple[str, ...]
    written: tuple[str, ...]
    places: tuple[tuple[int, Span], ...] = field(default=(), compare=False, repr=False)
    shared: tuple[tuple[str, int, int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """`text` is the kernel text, `functions` the names of the device functions and types that it uses, sorted."""

    text: str
    functions: tuple[str, ...]
    entries: tuple[Entry, ...]


def emit(kernel: Kernel) -> Source:
    """The kernel text of all launches. The same kernel gives the same bytes in every process.

    Integers that come from data wrap. Those that count (built of variables and constants alone) become C++'s signed
    arithmetic, for the sake of addresses: narrow-indices proves that they do not overflow.
    Raises TypeError for a node that the passes should have lowered.
    """
    pieces: list[str] = []
    if kernel.source:
        pieces.append(f'#line 1 "{kernel.name} (source)"\n{kernel.source.rstrip()}\n#line 1 "{kernel.name}"')
    entries: list[Entry] = []
    names = Names({*RESERVED, "main"})  # C++ lets no kernel be called main
    for number, launch in enumerate(kernel.launches):
        text, entry = _launch(kernel, number, names.new(launch.name))
        pieces.append(text)
        entries.append(entry)
    text = "\n".join(pieces)
    return Source(text, tuple(sorted(set(re.findall(r"\btds::(\w+)", text)))), tuple(entries))


def cuda_text(source: Source) -> str:
    """What NVRTC is given: the device functions that the text uses, in a fixed order, then the text."""
    return f"{device_functions(source.functions)}\n{source.text}"


def _launch(kernel: Kernel, number: int, name: str) -> tuple[str, Entry]:
    launch = kernel.launches[number]
    if launch.cluster or launch.raster:
        raise TypeError(f"the {'cluster' if launch.cluster else 'raster'} of '{launch.name}' must be lowered")
    pointers = [p for p in kernel.params if isinstance(p, Buffer)] + list(kernel.scratch)
    params: list[Buffer | Var] = [*pointers, *(p for p in kernel.params if isinstance(p, Var)), *kernel.sizes]
    body = _Body({slot.buffer: slot.offset for slot in launch.shared})
    for p in (*params, *launch.blocks, launch.thread):
        body.expr.names.of(p)
    body.block(launch.body)
    used = [p for p in params if p in body.expr.seen]
    signature = ", ".join(_parameter(p, body) for p in used)
    # Without a second bound ptxas aims at several blocks an SM and may spill to get there.
    bounds = f"{launch.num_threads}, {max(1, launch.min_blocks)}"
    lines = [f"TDS_KERNEL({bounds}) {name}({signature}) {{"]
    if body.uses_shared:
        lines.append("  const tds::u32 shared = tds::shared_base();")
    for var, source in [*zip(launch.blocks, ("block_x", "block_y", "block_z")), (launch.thread, "thread_index")]:
        if var in body.expr.seen:
            lines.append(f"  const {type_name(var.dtype)} {body.expr.name(var)} = tds::{source}();")
    places = tuple((len(lines) + at, span) for at, span in body.places)
    text = "\n".join([*lines, *body.lines, "}", f"TDS_EXPORT({name})", ""])
    names = tuple(p.name for p in used)
    written = tuple(p.name for p in used if p in body.expr.written)
    shared = tuple(_tile(slot) for slot in launch.shared)
    return text, Entry(name, number, launch.num_threads, launch.shared_bytes, names, written, places, shared)


def _tile(slot: SharedSlot) -> tuple[str, int, int, int, int]:
    """The row of `Entry.shared`."""
    b = slot.buffer
    version = _size(b) * b.dtype.bits // 8
    return b.name, slot.offset, version * b.versions, version, max(1, b.dtype.bits // 8)


def _parameter(p: Buffer | Var, body: _Body) -> str:
    if isinstance(p, Var):
        return f"{type_name(p.dtype)} {body.expr.name(p)}"
    const = "" if p in body.expr.written else "const "
    return f"{const}{type_name(p.dtype)}* TDS_RESTRICT {body.expr.name(p)}"


# Memory orders of an atomic update, as fences before and after it.
_FENCE_BEFORE = ("release", "acq_rel", "seq_cst")
_FENCE_AFTER = ("acquire", "consume", "acq_rel", "seq_cst")


@dataclass
class _Body:
    """The statements of one launch, one line each."""

    slots: dict[Buffer, int]
    expr: Expressions = field(default_factory=Expressions)
    lines: list[str] = field(default_factory=list)
    places: list[tuple[int, Span]] = field(default_factory=list)
    uses_shared: bool = False
    _indent: str = "  "
    _file: str = ""
    _next_line: int = -1  # what the compilers believe the next line to be

    def line(self, text: str) -> None:
        self.lines.append(self._indent + text)
        self._next_line += 1

    def block(self, block: Block) -> None:
        for s in block:
            if s.span is not NOWHERE:
                self._place(s.span)
            self.places.append((len(self.lines), s.span))
            self._stmt(s)

    def _place(self, span: Span) -> None:
        """Makes compilers and reports name the user's line, by a directive only where they would not by themselves."""
        if span.file != self._file:
            file = span.file.replace("\\", "\\\\").replace('"', '\\"')
            self.lines.append(f'#line {span.line} "{file}"')
        elif span.line != self._next_line:
            self.lines.append(f"#line {span.line}")
        self._file, self._next_line = span.file, span.line

    def _nested(self, head: str, block: Block) -> None:
        self.line(f"{head} {{")
        self._indented(block)
        self.line("}")

    def _indented(self, block: Block) -> None:
        outer, self._indent = self._indent, self._indent + "  "
        self.block(block)
        self._indent = outer

    def _stmt(self, s: Stmt) -> None:
        e = self.expr
        match s:
            case Let(var, value):
                dtype = "auto" if var.dtype is HANDLE else type_name(var.dtype)
                text = e.emit(value)
                if text.wraps:
                    e.data.add(var)
                self.line(f"const {dtype} {e.name(var)} = {text.text};")
            case Store():
                self._store(s)
            case AtomCall(atom, args):
                self.line(f"tds::{atom}({', '.join(e.bare(a) for a in args)});")
            case Move(dst, src, lanes):
                self._move(dst, src, lanes)
            case For(var, extent, body, kind):
                pairs = as_pairs(s)
                if pairs is not None:
                    self._pairs(pairs)
                else:
                    self._for(var, extent, body, kind)
            case If(cond, then, orelse):
                self.line(f"if ({e.bare(cond)}) {{")
                self._indented(then)
                if orelse:
                    self.line("} else {")
                    self._indented(orelse)
                self.line("}")
            case Alloc(buffer, init):
                self._alloc(buffer, init)
            case Barrier(id, count):
                self.line(f"tds::barrier_named({id}, {count});" if id or count else "tds::barrier();")
            case AsyncCommit():
                self.line("tds::cp_async_commit();")
            case AsyncWait(pending):
                self.line(f"tds::cp_async_wait<{pending}>();")
            case While(cond, body):
                self._nested(f"while ({e.bare(cond)})", body)
            case Break():
                self.line("break;")
            case Continue():
                self.line("continue;")
            case Evaluate(value):
                self.line(f"{e.bare(value)};")
            case AtomicUpdate():
                self._atomic(s)
            case View(buffer, source):
                self._view(buffer, source)
            case Print(message, args, None):
                self._print(message, args)
            case Assert(cond, message):
                self.line(f"tds::check({e.bare(cond)}, {string_literal(message)});")
            case Assume(cond):
                self.line(f"tds::assume({e.bare(cond)});")
            case _:
                raise TypeError(f"'{type(s).__name__}' must be lowered before emission")

    def _for(self, var: Var, extent: Expr, body: Block, kind: LoopKind) -> None:
        match kind:
            case Unrolled(0) | Vectorized():
                self.line("TDS_UNROLL")
            case Unrolled(factor):
                self.line(f"TDS_UNROLL_BY({factor})")
            case Serial() if any(isinstance(s, Barrier) for s in body):
                # C++ compilers unroll constant trip counts: here that doubles compile time and gains nothing.
                self.line("TDS_UNROLL_BY(1)")
            case Serial():
                pass
            case _:
                raise TypeError(f"a '{type(kind).__name__}' loop must be lowered before emission")
        if isinstance(kind, Unrolled) and kind.factor == 0 and isinstance(extent, Const):
            self.expr.unrolled[var] = int(extent.value)
        end, name = self.expr.emit(extent), self.expr.name(var)
        self._nested(f"for ({type_name(var.dtype)} {name} = 0; {name} < {end}; ++{name})", body)

    def _pairs(self, p: Pairs) -> None:
        e = self.expr
        if p.count > 1:
            e.unrolled[p.var] = p.count
            self.line("TDS_UNROLL")
            i = e.name(p.var)
            self.line(f"for ({type_name(p.var.dtype)} {i} = 0; {i} < {p.count}; ++{i})")
        name, target = short_name(p.buffer.dtype), f"{e.name(p.buffer)}[{e.bare(p.index)}]"
        self.line(f"tds::f32_to_{name}_pair(&{target}, {e.bare(p.low)}, {e.bare(p.high)});")

    def _alloc(self, buffer: Buffer, init: Expr | None) -> None:
        name = self.expr.name(buffer)
        match buffer.space:
            case Space.VAR:
                value = "" if init is None else f" = {self.expr.bare(init)}"
                self.line(f"{type_name(buffer.dtype)} {name}{value};")
            case Space.LOCAL:
                self.line(f"TDS_LOCAL({type_name(buffer.dtype)}, {name}, {max(1, _size(buffer))});")
            case Space.SHARED if buffer in self.slots:
                self.uses_shared = True
                offset = self.slots[buffer]
                self.line(f"const tds::u32 {name} = shared{f' + {offset}u' if offset else ''};")
            case _:
                raise TypeError(f"the {buffer.space.value} buffer '{buffer.name}' must be lowered before emission")

    def _view(self, buffer: Buffer, source: Buffer) -> None:
        source_name, name = self.expr.name(source), self.expr.name(buffer)
        if buffer.space is Space.SHARED:
            self.line(f"const tds::u32 {name} = {source_name};")
        elif buffer.space in (Space.LOCAL, Space.GLOBAL):
            if buffer.space is Space.GLOBAL:
                self.expr.written.add(source)  # what is written through a view is written
            dtype = type_name(buffer.dtype)
            self.line(f"{dtype}* const {name} = tds::view<{dtype}>({source_name});")
        else:
            raise TypeError(
                f"a view of the {buffer.space.value} buffer '{source.name}' must be lowered before emission"
            )

    # ---- memory

    def _store(self, s: Store) -> None:
        e, buffer = self.expr, s.buffer
        self.expr.written.add(buffer)
        match buffer.space:
            case Space.VAR | Space.LOCAL:
                self.line(f"{e.element(buffer, s.indices)} = {e.bare(s.value)};")
            case Space.GLOBAL:
                self.line(f"tds::store({e.address(buffer, s.indices)}, {e.bare(s.value)});")
            case Space.SHARED:
                address = e.address(buffer, s.indices, s.version)
                if s.asynchronous and self._copied_asynchronously(buffer.dtype, address, s.value):
                    return
                self.line(f"tds::store_shared<{type_name(buffer.dtype)}>({address}, {e.bare(s.value)});")
            case _:
                raise TypeError(f"a store to the {buffer.space.value} buffer '{buffer.name}' must be lowered")

    def _copied_asynchronously(self, dtype: DType, address: str, value: Expr) -> bool:
        """Whether the element could be copied by cp.async, which has no narrower form than 4 bytes."""
        match value:
            case Select(cond, Load() as load, Const(zero)) if zero == 0:
                predicate = self.expr.bare(cond)
            case Load() as load:
                predicate = "true"
            case _:
                return False
        if load.buffer.space is not Space.GLOBAL or dtype.bits not in (32, 64, 128):
            return False
        source = self.expr.address(load.buffer, load.indices)
        self.line(f"tds::cp_async_{dtype.bits // 8}({address}, {source}, {predicate});")
        return True

    def _move(self, dst: Address, src: Address, lanes: int) -> None:
        size = lanes * dst.buffer.dtype.bits // 8
        spaces = (dst.buffer.space, src.buffer.space)
        match spaces:
            case (Space.LOCAL, Space.GLOBAL):
                function = "load_vector"
            case (Space.LOCAL, Space.SHARED):
                function = "load_shared_vector"
            case (Space.GLOBAL, Space.LOCAL):
                function = "store_vector"
            case (Space.SHARED, Space.LOCAL):
                function = "store_shared_vector"
            case _:
                raise TypeError(f"a move between {spaces[0].value} and {spaces[1].value} memory must be lowered")
        self.expr.written.add(dst.buffer)
        self.line(f"tds::{function}<{size}>({self.expr.bare(dst)}, {self.expr.bare(src)});")

    def _atomic(self, s: AtomicUpdate) -> None:
        e, dtype = self.expr, type_name(s.buffer.dtype)
        self.expr.written.add(s.buffer)
        address = e.address(s.buffer, s.indices)
        pointer = f"tds::shared_pointer<{dtype}>({address})" if s.buffer.space is Space.SHARED else address
        if s.result is not None:
            e.data.add(s.result)
        result = f"const {dtype} {e.name(s.result)} = " if s.result is not None else ""
        arguments = pointer if s.op == "load" else f"{pointer}, {e.bare(s.value)}"
        if s.order in _FENCE_BEFORE:
            self.line("tds::fence();")
        self.line(f"{result}tds::atomic_{s.op}({arguments});")
        if s.order in _FENCE_AFTER:
            self.line("tds::fence();")

    def _print(self, message: str, args: tuple[Expr, ...]) -> None:
        texts, formats = [], [message.replace("%", "%%")] if message else []
        for a in args:
            text = self.expr.emit(a)
            dtype = text.dtype
            texts.append((cast(text, FLOAT32) if dtype.is_float and dtype.bits < 32 else text).text)
            formats.append("%g" if dtype.is_float else f"%{'ll' if dtype.bits == 64 else ''}{format_letter(dtype)}")
        self.line(f"tds::print({', '.join([string_literal(' '.join(formats), newline=True), *texts])});")


def _size(buffer: Buffer) -> int:
    size = 1
    for extent in static_shape(buffer):
        size *= extent
    return size
