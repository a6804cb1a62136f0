"""CUDA C++ from a kernel whose statements are all per-thread. It prints what the passes decided and decides nothing.

The kernel text includes nothing and calls only functions of the device API, namespace `tds`. `cuda_text` pastes those
it uses above it; for the host compiler `cpu/native/device.h` takes their place. The kernel text is the same in both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tiledsl.codegen import concurrent, memory
from tiledsl.codegen.banks import in_banks
from tiledsl.codegen.concurrent import TensorMaps
from tiledsl.codegen.convert import cast
from tiledsl.codegen.device_api import device_functions
from tiledsl.codegen.expr import Expressions
from tiledsl.codegen.pairs import Pairs, as_pairs
from tiledsl.codegen.source import Entry, Source, entry_of_the_user, size_of, tile_row
from tiledsl.codegen.spelling import format_letter, reserved, short_name, string_literal, type_name
from tiledsl.errors import NOWHERE, Span
from tiledsl.ir.concurrent import Dependency, Role, Roles
from tiledsl.ir.dtypes import FLOAT32, HANDLE, DType
from tiledsl.ir.names import Names
from tiledsl.ir.nodes import (
    Alloc,
    Assert,
    Assume,
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
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    Vectorized,
    View,
    While,
)
from tiledsl.ir.ops import Effect
from tiledsl.ir.types import effect_of
from tiledsl.ir.walk import statements, walk


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
    names = Names(reserved(kernel.source) | {"main"})  # C++ lets no kernel be called main
    for number, launch in enumerate(kernel.launches):
        if launch.entry:
            entries.append(entry_of_the_user(kernel, number))
            continue
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
    if launch.raster:
        raise TypeError(f"the raster of '{launch.name}' must be lowered")
    pointers = [p for p in kernel.params if isinstance(p, Buffer)] + list(kernel.scratch)
    params: list[Buffer | Var] = [*pointers, *(p for p in kernel.params if isinstance(p, Var)), *kernel.sizes]
    body = _Body({slot.buffer: slot.offset for slot in launch.shared}, launch.thread, launch.num_threads)
    body.expr.names = Names(reserved(kernel.source))
    body.waits = any(s == Dependency("wait") for s in statements(launch))
    for p in (*params, *launch.blocks, launch.thread):
        body.expr.names.of(p)
    lowered, banks = in_banks(launch.body)
    body.block(lowered)
    used = [p for p in params if p in body.expr.seen]
    maps = tuple(body.maps.found.values())
    given = [_parameter(p, body, apart=p not in kernel.overlapping) for p in used]
    signature = ", ".join([*(f"TDS_TENSOR_MAP {m.name}" for m in maps), *given])
    # Without a second bound ptxas aims at several blocks an SM and may spill to get there.
    bounds = f"{launch.num_threads}, {max(1, launch.min_blocks)}"
    lines = [f"TDS_KERNEL({bounds}) {name}({signature}) {{"]
    lines += [f"  tds::Bank<{k.number}, {k.words}> {body.expr.name(k.variable)};" for k in banks]
    if body.uses_shared:
        lines.append("  const tds::u32 shared = tds::shared_base();")
    for var, source in [*zip(launch.blocks, ("block_x", "block_y", "block_z")), (launch.thread, "thread_index")]:
        if var in body.expr.seen:
            lines.append(f"  const {type_name(var.dtype)} {body.expr.name(var)} = tds::{source}();")
    if maps:
        hints = " ".join(f"tds::tma_prefetch({m.name});" for m in maps)
        lines.append(f"  if (tds::thread_index() == 0) {{ {hints} }}")
    if body.warp:
        lines.append(f"  const int {body.warp} = tds::warp_uniform(tds::thread_index() / {concurrent.WARP});")
    places = tuple((len(lines) + at, span) for at, span in body.places)
    text = "\n".join([*lines, *body.lines, "}", f"TDS_EXPORT({name})", ""])
    written = tuple(p.name for p in params if p in body.expr.written or p in body.maps.stored)
    shared = tuple(tile_row(slot) for slot in launch.shared)
    sizes = (launch.num_threads, launch.shared_bytes, tuple(p.name for p in used))
    window = next(((p.buffer.name, p.ratio) for p in launch.persisting), None)
    entry = Entry(name, number, *sizes, written, places, shared, maps, launch.cluster, body.waits, window=window)
    return text, entry


def _parameter(p: Buffer | Var, body: _Body, *, apart: bool) -> str:
    if isinstance(p, Var):
        return f"{type_name(p.dtype)} {body.expr.name(p)}"
    stored = p in body.maps.stored  # behind the pointer's back
    const = "" if stored or p in body.expr.written else "const "
    # What cannot change, compilers may read before the wait for the kernel that writes it.
    restrict = " TDS_RESTRICT" if apart and not stored and not body.waits else ""
    return f"{const}{type_name(p.dtype)}*{restrict} {body.expr.name(p)}"


@dataclass
class _Body:
    """The statements of one launch, one line each."""

    slots: dict[Buffer, int]
    thread: Var
    threads: int
    expr: Expressions = field(default_factory=Expressions)
    lines: list[str] = field(default_factory=list)
    places: list[tuple[int, Span]] = field(default_factory=list)
    maps: TensorMaps = field(default_factory=TensorMaps)
    uses_shared: bool = False
    waits: bool = False  # for the kernel before it in the stream
    warp: str = ""  # the variable that holds the number of the warp, if a role asks for it
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
                first = e.emit(value)
                if first.wraps:
                    e.data.add(var)
                self.line(f"const {dtype} {e.name(var)} = {first.text};")
            case Store():
                self._store(s)
            case Move():
                self.line(memory.move(s, e))
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
            case Roles(roles):
                self._roles(roles)
            case While(cond, body):
                self._nested(f"while ({e.bare(cond)})", body)
            case Break():
                self.line("break;")
            case Continue():
                self.line("continue;")
            case Evaluate(value):
                self.line(f"{e.bare(value)};")
            case AtomicUpdate():
                for line in memory.atomic(s, e):
                    self.line(line)
            case View(buffer, source):
                self._view(buffer, source)
            case Print(message, args, None):
                self._print(message, args)
            case Assert(cond, message):
                self.line(f"tds::check({e.bare(cond)}, {string_literal(message)});")
            case Assume(cond):
                self.line(f"tds::assume({e.bare(cond)});")
            case _:
                text = concurrent.call(s, e, self.maps)
                if text is None:
                    raise TypeError(f"'{type(s).__name__}' must be lowered before emission")
                self.line(text)

    def _for(self, var: Var, extent: Expr, body: Block, kind: LoopKind) -> None:
        match kind:
            case Unrolled(0) | Vectorized():
                self.line("TDS_UNROLL")
            case Unrolled(factor):
                self.line(f"TDS_UNROLL_BY({factor})")
            case Serial() if concurrent.waits(body) or any(isinstance(s, Barrier) for s in body):
                # C++ compilers unroll constant trip counts: here that doubles compile time and gains nothing.
                self.line("TDS_UNROLL_BY(1)")
            case Serial():
                pass
            case _:
                raise TypeError(f"a '{type(kind).__name__}' loop must be lowered before emission")
        if isinstance(kind, Unrolled) and kind.factor == 0 and isinstance(extent, Const):
            self.expr.unrolled[var] = int(extent.value)
        end, name = str(self.expr.emit(extent)), self.expr.name(var)
        begin = f"{type_name(var.dtype)} {name} = 0"
        if effect_of(extent) is not Effect.PURE:  # counted once: C++ would look again before each turn
            trips = self.expr.names.new("trips")
            begin, end = f"{begin}, {trips} = {end}", trips
        self._nested(f"for ({begin}; {name} < {end}; ++{name})", body)

    def _roles(self, roles: tuple[Role, ...]) -> None:
        e, start = self.expr, "if"
        for role in roles:
            if concurrent.is_of_whole_warps(role, self.threads):
                self.warp = self.warp or e.names.new("warp")
                own, unit = self.warp, concurrent.WARP
            else:
                own, unit = e.name(self.thread), 1
            self.line(f"{start} ({concurrent.role_condition(role, self.threads, own, unit)}) {{")
            if any(n is role.thread for s in role.body for n in walk(s)):
                number = e.name(self.thread) + (f" - {role.first}" if role.first else "")
                self.line(f"  const {type_name(role.thread.dtype)} {e.name(role.thread)} = {number};")
            self._indented(role.body)
            start = "} else if"
        if roles:
            self.line("}")

    def _pairs(self, p: Pairs) -> None:
        e = self.expr
        if p.count > 1:
            e.unrolled[p.var] = p.count
            self.line("TDS_UNROLL")
            i = e.name(p.var)
            self.line(f"for ({type_name(p.var.dtype)} {i} = 0; {i} < {p.count}; ++{i})")
        name, target = short_name(p.buffer.dtype), f"{e.name(p.buffer)}[{e.bare(p.index)}]"
        how = "<true>" if p.saturate else ""
        self.line(f"tds::f32_to_{name}_pair{how}(&{target}, {e.bare(p.low)}, {e.bare(p.high)});")

    def _alloc(self, buffer: Buffer, init: Expr | None) -> None:
        name = self.expr.name(buffer)
        match buffer.space:
            case Space.VAR:
                value = "" if init is None else f" = {self.expr.bare(init)}"
                self.line(f"{type_name(buffer.dtype)} {name}{value};")
            case Space.LOCAL:
                self.line(f"TDS_LOCAL({type_name(buffer.dtype)}, {name}, {max(1, size_of(buffer))});")
            case Space.SHARED | Space.BARRIER if buffer in self.slots:
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
                self.maps.roots[buffer] = self.maps.root(source)
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

    def _print(self, message: str, args: tuple[Expr, ...]) -> None:
        texts, formats = [], [message.replace("%", "%%")] if message else []
        for a in args:
            text = self.expr.emit(a)
            dtype = text.dtype
            texts.append((cast(text, FLOAT32) if dtype.is_float and dtype.bits < 32 else text).text)
            formats.append("%g" if dtype.is_float else f"%{'ll' if dtype.bits == 64 else ''}{format_letter(dtype)}")
        self.line(f"tds::print({', '.join([string_literal(' '.join(formats), newline=True), *texts])});")
