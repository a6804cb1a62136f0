"""The part of `verify` below statements: what is bound where, and whether expressions and accesses are well-typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tiledsl.errors import VerifyError
from tiledsl.ir.dtypes import BOOL, HANDLE, INDEX, INT32, UINT32, UINT64, DType, Kind
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
    Node,
    Region,
    Reinterpret,
    Select,
    Space,
    Unary,
    Var,
)
from tiledsl.ir.ops import BINARY, FUNCTIONS, UNARY, Function, Result

_INDEX_OPERATORS = frozenset(op.symbol for op in BINARY.values() if op.result is Result.SAME) - {"/"}
_INTEGERS = frozenset({"popcount", "clz", "elected"})
_NUMBERS = frozenset({"abs"})
_CONDITIONS = frozenset({"warp_any", "warp_all", "warp_ballot"})


def fail(reason: str) -> VerifyError:
    """The error to raise; statements and launches give it its place."""
    return VerifyError(reason)


class Scope:
    """The variables and buffers bound so far; everything in a kernel is bound once.

    `expr` returns the dtype of an expression and raises VerifyError unless it is well-formed.
    """

    def __init__(self) -> None:
        self.bound: set[Node] = set()
        self.ever: set[Node] = set()
        self.log: list[Node] = []

    # ---- binding

    def bind(self, node: Var | Buffer) -> None:
        if node in self.ever:
            raise fail(f"'{node.name}' is bound twice")
        self.ever.add(node)
        self.bound.add(node)
        self.log.append(node)

    def leave(self, mark: int) -> None:
        """Unbinds what was bound since the log had `mark` entries."""
        if mark < len(self.log):
            self.bound.difference_update(self.log[mark:])
            del self.log[mark:]

    def buffer(self, buffer: Buffer) -> None:
        if buffer not in self.bound:
            what = "outside its scope" if buffer in self.ever else "before it is bound"
            raise fail(f"buffer '{buffer.name}' is used {what}")

    # ---- accesses

    def indices(self, buffer: Buffer, indices: Sequence[Expr], version: Expr | None) -> None:
        """Checks an access to one element, or the offsets of a region."""
        self.buffer(buffer)
        if len(indices) != len(buffer.shape):
            raise fail(f"'{buffer.name}' has rank {len(buffer.shape)} but is accessed with {len(indices)} indices")
        if (version is None) != (buffer.versions == 1):
            said = "none" if version is None else "one"
            raise fail(f"'{buffer.name}' has {buffer.versions} version(s), the access names {said}")
        for index in indices:
            self.integer(index, "an index")
        if version is not None:
            self.integer(version, "a version")

    def region(self, r: Region, *spaces: Space) -> tuple[int, ...]:
        """The extents of a region without those of 1; the buffer must live in one of `spaces`."""
        self.indices(r.buffer, r.offsets, r.version)
        if len(r.extents) != len(r.offsets):
            raise fail(f"a region of '{r.buffer.name}' has {len(r.offsets)} offsets and {len(r.extents)} extents")
        for offset in r.offsets:
            if (dtype := self.expr(offset)) is not INDEX:
                raise fail(f"an offset of a region of '{r.buffer.name}' is {dtype}, not {INDEX}")
        for extent, whole in zip(r.extents, r.buffer.shape):
            if extent < 1:
                raise fail(f"a region of '{r.buffer.name}' has the extent {extent}")
            if isinstance(whole, int) and extent > whole and r.buffer.space is not Space.GLOBAL:
                raise fail(f"a region of '{r.buffer.name}' is longer than the buffer: {extent} > {whole}")
        if r.buffer.space not in spaces:
            allowed = " or ".join(s.value for s in spaces)
            raise fail(f"'{r.buffer.name}' is in {r.buffer.space.value} memory; this operand must be {allowed}")
        return tuple(n for n in r.extents if n != 1)

    # ---- expressions

    def expr(self, e: Expr) -> DType:
        kind = type(e)
        if kind is Var and e in self.bound:  # these first: most nodes are variables and indices
            return e.dtype  # type: ignore[attr-defined, no-any-return]
        rule = _RULES.get(kind)
        if rule is None:
            raise fail(f"{type(e).__name__} is no expression")
        return rule(self, e)

    def integer(self, e: Expr, what: str) -> DType:
        if (dtype := self.expr(e)) is not INDEX and not dtype.is_integer:
            raise fail(f"{what} is {dtype}, not an integer")
        return dtype

    def condition(self, e: Expr, what: str) -> None:
        if (dtype := self.expr(e)) is not BOOL:
            raise fail(f"{what} is {dtype}, not bool")

    def value(self, e: Expr, dtype: DType, what: str) -> None:
        if (found := self.expr(e)) is not dtype:
            raise fail(f"{what} is {found}, not {dtype}")


# ---------------------------------------------------------------------------------------------------- expressions


def _const(s: Scope, e: Const) -> DType:
    if e.dtype is INDEX and type(e.value) is int:  # nearly all of them
        return INDEX
    match e.dtype.kind:
        case Kind.BOOL:
            fits = isinstance(e.value, bool)
        case Kind.FLOAT:
            fits = isinstance(e.value, (int, float)) and not isinstance(e.value, bool)
        case Kind.INDEX:
            fits = False
        case Kind.HANDLE:
            fits = e.value == 0
        case _:
            low, high = e.dtype.int_range
            fits = isinstance(e.value, int) and not isinstance(e.value, bool) and low <= e.value <= high
    if not fits:
        raise fail(f"{e.value!r} is no {e.dtype}")
    return e.dtype


def _var(s: Scope, e: Var) -> DType:
    if e not in s.bound:
        what = "outside its scope" if e in s.ever else "before it is bound"
        raise fail(f"'{e.name}' is used {what}")
    return e.dtype


def _binary(s: Scope, e: Binary) -> DType:
    op = BINARY.get(e.op)
    if op is None:
        raise fail(f"unknown operator '{e.op}'")
    a, b = s.expr(e.a), s.expr(e.b)
    if a is not b:
        raise fail(f"the operands of '{e.op}' are {a} and {b}")
    if a is INDEX and e.op in _INDEX_OPERATORS:  # nearly all of them
        return INDEX
    if a is HANDLE and op.result is not Result.BOOL:
        raise fail(f"'{e.op}' is no operation on addresses")
    if op.integers_only and not a.is_integer and not (a is BOOL and e.op in "|^&"):
        raise fail(f"the operands of '{e.op}' are {a}, not integers")
    if e.op in ("and", "or") and a is not BOOL:
        raise fail(f"the operands of '{e.op}' are {a}, not bool")
    if e.op == "/" and not a.is_float:
        raise fail(f"the operands of '/' are {a}, not floats")
    return a if op.result is Result.SAME else BOOL


def _unary(s: Scope, e: Unary) -> DType:
    a = s.expr(e.a)
    match e.op:
        case "not":
            fits = a is BOOL
        case "~":
            fits = a.is_integer or a is BOOL
        case _:
            fits = a.is_integer or a.is_float
    if e.op not in UNARY:
        raise fail(f"unknown operator '{e.op}'")
    if not fits:
        raise fail(f"'{e.op}' does not apply to {a}")
    return a


def _select(s: Scope, e: Select) -> DType:
    s.condition(e.cond, "the condition of select")
    a, b = s.expr(e.a), s.expr(e.b)
    if a is not b:
        raise fail(f"the sides of select are {a} and {b}")
    return a


def _cast(s: Scope, e: Cast) -> DType:
    if s.expr(e.a) is HANDLE or e.dtype is HANDLE:
        raise fail("an address cannot be cast")
    return e.dtype


def _reinterpret(s: Scope, e: Reinterpret) -> DType:
    a = s.expr(e.a)
    if a.bits != e.dtype.bits or INDEX in (a, e.dtype):
        raise fail(f"the bits of {a} are none of {e.dtype}")
    return e.dtype


def _load(s: Scope, e: Load) -> DType:
    s.indices(e.buffer, e.indices, e.version)
    if e.buffer.space is Space.BARRIER:
        raise fail(f"barrier '{e.buffer.name}' cannot be read")
    return e.buffer.dtype


def _address(s: Scope, e: Address) -> DType:
    s.indices(e.buffer, e.indices, e.version)
    return HANDLE


def _descriptor(s: Scope, e: Descriptor) -> DType:
    s.expr(e.start)
    if e.start.buffer.space is not Space.SHARED:
        raise fail(f"'{e.start.buffer.name}' is in {e.start.buffer.space.value} memory: no matrix descriptor there")
    if e.swizzle not in (0, 32, 64, 128) or any(n % 16 or not 0 <= n < 1 << 18 for n in (e.leading, e.stride)):
        raise fail(f"no matrix descriptor with leading {e.leading}, stride {e.stride}, swizzle {e.swizzle}")
    return UINT64


def _call(s: Scope, e: Call) -> DType:
    function = FUNCTIONS.get(e.fn)
    if function is None:
        raise fail(f"unknown function '{e.fn}'")
    if len(e.args) != function.arity:
        raise fail(f"'{e.fn}' takes {function.arity} arguments, not {len(e.args)}")
    args = [s.expr(a) for a in e.args]
    if not _accepts(function, args):
        raise fail(f"'{e.fn}' does not apply to {', '.join(map(str, args))}")
    match function.result:
        case Result.SAME:
            return args[0]
        case Result.BOOL:
            return BOOL
        case Result.INT32:
            return INT32


def _accepts(function: Function, args: Sequence[DType]) -> bool:
    first = args[0]
    if function.dtypes:
        return all(a is first and a.name in function.dtypes for a in args)
    if function.name in _INTEGERS:
        return first.is_integer
    if function.name in _NUMBERS:
        return first.is_integer or first.is_float
    if function.name in _CONDITIONS:
        return first is BOOL
    if function.name == "warp_match":
        return first.is_integer and first.bits in (32, 64)
    if function.name == "warp_sync":
        return first is UINT32
    if function.name == "warp_uniform":
        return first is not HANDLE
    if function.name.startswith("shfl_"):
        return first is not HANDLE and args[1].is_integer
    if function.name in ("prmt", "dp4a"):
        return all(a.is_integer and a.bits == 32 for a in args)
    return all(a is first and a.is_float for a in args)


def _extern(s: Scope, e: Extern) -> DType:
    for a in e.args:
        s.expr(a)
    return e.dtype


_RULES: dict[type[Any], Callable[[Scope, Any], DType]] = {
    Const: _const,
    Var: _var,
    Binary: _binary,
    Unary: _unary,
    Select: _select,
    Cast: _cast,
    Reinterpret: _reinterpret,
    Load: _load,
    Address: _address,
    Descriptor: _descriptor,
    Call: _call,
    Extern: _extern,
}
