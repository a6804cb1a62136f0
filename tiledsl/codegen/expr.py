"""Scalar expressions as C++ text: one `match`, and the table of operators (`ir/ops.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tiledsl.codegen.convert import Text, back_to, cast, reinterpret, widen
from tiledsl.codegen.offset import divided, flat_offset, in_bytes, is_zero, plus, split_steps, times
from tiledsl.codegen.spelling import RESERVED, is_small_float, literal, short_name, type_name
from tiledsl.ir.dtypes import BOOL, HANDLE, INT32, UINT64, Kind
from tiledsl.ir.names import Names
from tiledsl.ir.nodes import (
    Address,
    Binary,
    Buffer,
    Call,
    Cast,
    Const,
    Descriptor,
    Expr,
    Extern,
    Load,
    Reinterpret,
    Select,
    Space,
    Unary,
    Var,
    static_shape,
)
from tiledsl.ir.ops import BINARY, FUNCTIONS, UNARY, Effect, Result
from tiledsl.isa.descriptor import UNIT, mode_of

_FUNCTION_OF_OPERATOR = {"//": "floor_div", "%": "floor_mod"}


@dataclass
class Expressions:
    """Prints expressions. Names are chosen on first sight, in the order of the text.

    `seen` is all that was named, `written` the buffers that text printed so far may write.
    """

    names: Names = field(default_factory=lambda: Names(RESERVED))
    seen: set[Var | Buffer] = field(default_factory=set)
    written: set[Buffer] = field(default_factory=set)
    data: set[Var] = field(default_factory=set)  # integer variables that hold data: see `Text.wraps`
    unrolled: dict[Var, int] = field(default_factory=dict)  # variables of wholly unrolled loops, with their extents

    def name(self, node: Var | Buffer) -> str:
        self.seen.add(node)
        return self.names.of(node)

    def bare(self, e: Expr) -> str:
        """The text where no operator stands next to it."""
        return self.emit(e).text

    def emit(self, e: Expr) -> Text:
        match e:
            case Const(value, dtype):
                return Text(literal(value, dtype), dtype)
            case Var(_, dtype):
                return Text(self.name(e), dtype, wraps=e in self.data)
            case Binary(op, a, b):
                return self._binary(op, a, b)
            case Load():
                return self._load(e)
            case Cast(dtype, a, rounding, saturate):
                return cast(self.emit(a), dtype, rounding, saturate)
            case Address(buffer, indices, version):
                return Text(self.address(buffer, indices, version), HANDLE, False)
            case Unary(op, a):
                return self._unary(op, a)
            case Select(cond, a, b):
                first, second = self.emit(a), self.emit(b)
                wraps = first.wraps or second.wraps
                return Text(f"{self.emit(cond)} ? {first} : {second}", first.dtype, False, wraps)
            case Call(fn, args):
                return self._call(fn, args)
            case Reinterpret(dtype, a):
                return reinterpret(self.emit(a), dtype)
            case Descriptor():
                return Text(self._descriptor(e), UINT64)
            case Extern(fn, args, dtype):
                return Text(f"{fn}({', '.join(self._extern_argument(a) for a in args)})", dtype, wraps=True)
        raise TypeError(f"'{type(e).__name__}' must be lowered before emission")

    # ---- operators

    def _binary(self, op: str, a: Expr, b: Expr) -> Text:
        row, left, right = BINARY[op], self.emit(a), self.emit(b)
        dtype = BOOL if row.result is Result.BOOL else left.dtype
        wraps = left.wraps or right.wraps
        if is_small_float(left.dtype):
            left, right = widen(left), widen(right)
        if _needs_function(op, b):
            name = _FUNCTION_OF_OPERATOR.get(op, op)
            computed = Text(f"tds::{name}({left.text}, {right.text})", left.dtype, True, wraps)
        elif op in ("+", "-", "*") and wraps and left.dtype.kind in (Kind.INT, Kind.UINT):
            computed = _wrapping(row.cuda, left, right)
        else:
            computed = Text(row.cuda.format(a=left, b=right), left.dtype, False, wraps)
        return back_to(computed, dtype)

    def _unary(self, op: str, a: Expr) -> Text:
        operand = self.emit(a)
        dtype = BOOL if UNARY[op].result is Result.BOOL else operand.dtype
        if is_small_float(operand.dtype):
            operand = widen(operand)
        if op == "-" and operand.wraps and operand.dtype.kind is Kind.INT:
            return back_to(_wrapping("{a} - {b}", Text("0", operand.dtype), operand), dtype)
        return back_to(Text(UNARY[op].cuda.format(a=operand), operand.dtype, False, operand.wraps), dtype)

    def _call(self, fn: str, args: Sequence[Expr]) -> Text:
        row, texts = FUNCTIONS[fn], [self.emit(a) for a in args]
        dtype = {Result.BOOL: BOOL, Result.INT32: INT32, Result.SAME: texts[0].dtype}[row.result]
        if fn == "fma" and short_name(texts[0].dtype) in ("f16", "bf16"):  # rounds once: not through float32
            fn = f"fma_{short_name(texts[0].dtype)}"
        elif row.effect is not Effect.COLLECTIVE and is_small_float(texts[0].dtype):
            texts = [widen(t) for t in texts]
        if fn == "elected":  # ptxas then issues for one thread what works on uniform registers
            return Text("tds::elect_one()", BOOL)
        wraps = fn != "warp_uniform" or texts[0].wraps
        computed = Text(f"tds::{fn}({', '.join(t.text for t in texts)})", texts[0].dtype, wraps=wraps)
        return computed if computed.dtype is dtype else back_to(computed, dtype)

    def _extern_argument(self, e: Expr) -> str:
        if isinstance(e, Address):
            self.written.add(e.buffer)
        if isinstance(e, Address) and e.buffer.space is Space.SHARED:
            address = self.address(e.buffer, e.indices, e.version)
            return f"tds::shared_pointer<{type_name(e.buffer.dtype)}>({address})"
        return self.bare(e)

    # ---- memory

    def _load(self, e: Load) -> Text:
        buffer, dtype = e.buffer, e.buffer.dtype
        match buffer.space:
            case Space.VAR:
                return Text(self.name(buffer), dtype, wraps=True)
            case Space.LOCAL:
                return Text(self.element(buffer, e.indices), dtype, wraps=True)
            case Space.GLOBAL:
                return Text(f"tds::load({self.address(buffer, e.indices)})", dtype, wraps=True)
            case Space.SHARED:
                address = self.address(buffer, e.indices, e.version)
                return Text(f"tds::load_shared<{type_name(dtype)}>({address})", dtype, wraps=True)
        raise TypeError(f"a load of the {buffer.space.value} buffer '{buffer.name}' must be lowered before emission")

    def element(self, buffer: Buffer, indices: Sequence[Expr]) -> str:
        """An element of a LOCAL buffer, or a VAR."""
        if buffer.space is Space.VAR:
            return self.name(buffer)
        return f"{self.name(buffer)}[{self.bare(flat_offset(buffer, indices))}]"

    def address(self, buffer: Buffer, indices: Sequence[Expr], version: Expr | None = None) -> str:
        """A pointer to global or local memory; a number for shared memory, counted in bytes."""
        name = self.name(buffer)
        match buffer.space:
            case Space.LOCAL:
                return f"&{self.element(buffer, indices)}"
            case Space.VAR:
                return f"&{name}"
            case Space.GLOBAL:
                return self._global_address(name, flat_offset(buffer, indices))
            case Space.SHARED | Space.BARRIER:
                return self._shared_address(buffer, indices, version)
        raise TypeError(
            f"an address in the {buffer.space.value} buffer '{buffer.name}' must be lowered before emission"
        )

    def _global_address(self, name: str, offset: Expr) -> str:
        """Constant displacements after unrolling come last: the C++ compiler would extend each sum to 64 bits anew."""
        if is_zero(offset):
            return name
        whole = self.emit(offset)
        if whole.wraps:
            return f"{name} + {whole}"
        parts = split_steps(offset, self.unrolled)
        return " + ".join([name, *(str(self.emit(e)) for e in parts if not is_zero(e))])

    def _shared_address(self, buffer: Buffer, indices: Sequence[Expr], version: Expr | None) -> str:
        name, offset = self.name(buffer), _shared_offset(buffer, indices, version)
        return name if is_zero(offset) else f"{name} + {self._unsigned(offset)}"

    def _unsigned(self, e: Expr) -> str:
        if isinstance(e, Const):
            return f"{int(e.value)}u"
        number = self.emit(e)
        return number.text if number.dtype.name == "uint32" and number.atomic else f"(tds::u32){number}"

    def _descriptor(self, e: Descriptor) -> str:
        """In units of 16 bytes from the buffer on, where they are seen: steps then add constants to the descriptor."""
        start = e.start
        offset = _shared_offset(start.buffer, start.indices, start.version)
        units = divided(offset, UNIT)
        base, units_text = (
            (self.name(start.buffer), self._unsigned(units)) if units is not None else (self.bare(start), "0u")
        )
        fields = f"{e.leading}, {e.stride}, {int(mode_of(e.swizzle))}"
        return f"tds::wgmma_descriptor_at<{fields}>({base}, {units_text})"


def _shared_offset(buffer: Buffer, indices: Sequence[Expr], version: Expr | None) -> Expr:
    """Bytes from the start of a buffer in shared memory."""
    offset = flat_offset(buffer, indices)
    if version is not None:
        size = 1
        for extent in static_shape(buffer):
            size *= extent
        offset = plus(times(version, Const(size, INT32)), offset)
    return in_bytes(offset, buffer.dtype.bits // 8)


def _needs_function(op: str, b: Expr) -> bool:
    if op in ("div", "rem"):  # a divisor that is not known may be 0, which a CPU traps
        return not (isinstance(b, Const) and b.value not in (0, -1))
    return not BINARY[op].cuda


_UNSIGNED = {32: "tds::u32", 64: "tds::u64"}


def _wrapping(template: str, a: Text, b: Text) -> Text:
    """Integer arithmetic without sign, where overflow wraps in C++ too."""
    kind = _UNSIGNED[max(a.dtype.bits, 32)]
    if a.dtype.name in ("uint32", "uint64"):
        return Text(template.format(a=a, b=b), a.dtype, False, True)
    computed = template.format(a=f"({kind}){a}", b=f"({kind}){b}")
    return Text(f"({type_name(a.dtype)})({computed})", a.dtype, True, True)
