"""T.copy and T.fill with 4-bit numbers on one side or on both: copies of bytes, and loops that convert."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tiledsl.frontend.packed import (
    WIDER,
    Packed,
    PackedNumber,
    PackedPart,
    bits_of,
    declared,
    halves,
    number_in,
    problem,
)
from tiledsl.frontend.proxies import Scalar, bitwise, cast, converted, expr_of, scalar, shift
from tiledsl.frontend.proxies import operand as number_or_scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import ZERO, Tensor, Tile, tile_of
from tiledsl.frontend.tracer import Tracer
from tiledsl.frontend.typenames import literal
from tiledsl.ir.dtypes import INDEX, UINT8, DType
from tiledsl.ir.nodes import Alloc, Buffer, Expr, Load, Region, Space, Stmt, Store, Var
from tiledsl.ir.printer import text
from tiledsl.ir.simplify import simplify
from tiledsl.ir.tile import Copy, Fill, Parallel

Emit = Callable[[Stmt], None]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a copy: `region` counts numbers, `memory` has them, two to a byte where `packed` says of what."""

    region: Region
    memory: Buffer
    packed: DType | None = None

    @property
    def extents(self) -> tuple[int, ...]:
        """Without dimensions of extent 1, in which both sides of a copy may differ."""
        return tuple(e for e in self.region.extents if e != 1)

    def stored(self) -> Region:
        """The region of `memory`. Raises TileError TD0289 where it is no whole bytes."""
        if self.packed is None:
            return self.region
        *offsets, last = self.region.offsets
        *extents, row = self.region.extents
        byte, odd = halves(last)
        if odd != ZERO or row % 2:
            what = f"but rows of {row} numbers from {text(last)} on may begin or end within one"
            raise problem(self.region.buffer, what, "take parts of rows that begin and end at even places")
        return Region(self.memory, (*offsets, byte), (*extents, row // 2))

    def elements(self, numbers: int) -> int:
        """How many elements of `memory` have so many numbers; 0 of either says that it is left open."""
        return numbers if self.packed is None or not numbers else max(numbers // 2, 1)

    def at(self, point: Sequence[Expr]) -> tuple[Expr, ...]:
        """The indices of a point of `extents`, in numbers."""
        steps: Iterator[Expr] = iter(point)
        pairs = zip(self.region.offsets, self.region.extents)
        return tuple(offset if extent == 1 else simplify(offset + next(steps), {}) for offset, extent in pairs)

    def number(self, point: Sequence[Expr]) -> Scalar:
        """The number at a point of `extents`."""
        *rest, last = self.at(point)
        if self.packed is None:
            return Scalar(Load(self.memory, (*rest, last)), self.memory.dtype)
        byte, odd = halves(last)
        return number_in(Scalar(Load(self.memory, (*rest, byte)), UINT8), odd, self.packed)


def side_of(value: Any, word: str, parameter: str) -> tuple[Packed | None, Tile]:
    """An operand: its tile, counted in numbers, and the tensor where they are packed."""
    match value:
        case Packed():
            packed, tile = value, tile_of(Tensor(value.buffer), word, parameter)
        case PackedPart(tensor=packed):
            tile = Tile(Tensor(packed.buffer), value.offsets, value.extents)
        case PackedNumber(tensor=packed):
            expr_of(value)  # what its place needs must still be there
            tile = Tile(Tensor(packed.buffer), value.offsets, (1,) * len(value.offsets), is_start=True)
        case _:
            return None, tile_of(value, word, parameter)
    packed.bytes.check_alive()
    return packed, tile


def memory_of(packed: Packed | None, region: Region) -> Side:
    """The side of a copy that an operand is."""
    if packed is None:
        return Side(region, region.buffer)
    return Side(region, packed.bytes.buffer, packed.buffer.dtype)


def copy_packed(tracer: Tracer, emit: Emit, source: Side, target: Side, width: int) -> None:
    """Numbers from one region to another of the same extents, converted where the dtypes differ.

    Where threads take apart or put together what lies in global memory, it passes through registers, so that T.copy
    deals with what is out of bounds and with wide accesses. Raises TileError TD0219 for memory of single threads.
    """
    if source.packed is not None and source.packed is target.packed:
        emit(Copy(source.stored(), target.stored(), source.elements(width), span=tracer.here()))
        return
    for side, parameter in ((source, "src"), (target, "dst")):
        if side.memory.space is Space.LOCAL:
            facts = {"name": side.memory.name, "space": side.memory.space.value}
            allowed = "a parameter, T.alloc_shared or T.alloc_fragment"
            raise fail("TD0219", word="T.copy", parameter=parameter, allowed=allowed, **facts)
    near = source
    if source.memory.space is Space.GLOBAL:
        near = _in_registers(tracer, source)
        emit(Copy(source.stored(), near.stored(), source.elements(width), span=tracer.here()))
    made = _in_registers(tracer, target) if target.memory.space is Space.GLOBAL else target
    emit(_converting(tracer, near, made))
    tracer.wrote(made.memory)
    if made is not target:
        emit(Copy(made.stored(), target.stored(), target.elements(width), span=tracer.here()))


def _in_registers(tracer: Tracer, side: Side) -> Side:
    """A fragment of the same numbers."""
    shape = side.extents or (1,)
    numbers = Buffer(side.memory.name, shape, side.packed or side.memory.dtype, Space.FRAGMENT)
    held, _ = declared(numbers)
    tracer.emit(Alloc(held, span=tracer.here()))
    return Side(Region(numbers, (ZERO,) * len(shape), shape), held, side.packed)


def _converting(tracer: Tracer, source: Side, target: Side) -> Parallel:
    """A point for each number, or for each byte that is put together."""
    extents = target.extents if target.packed is None else (*target.extents[:-1], target.extents[-1] // 2)
    variables = tuple(Var(f"i{n}", INDEX) for n in range(len(extents)))
    if target.packed is None:
        stored = converted(source.number(variables), target.memory.dtype)
        at = target.at(variables)
    else:
        *rest, last = variables
        low, high = (bits_of(source.number((*rest, simplify(last * 2 + n, {}))), target.packed) for n in (0, 1))
        stored = _byte(low, high)
        target.stored()  # so that the first of both is the lower one
        *places, place = target.at((*rest, simplify(last * 2, {})))
        at = (*places, halves(place)[0])
    return Parallel(variables, extents, (Store(target.memory, at, stored, span=tracer.here()),), span=tracer.here())


def fill_packed(tracer: Tracer, emit: Emit, dst: Side, value: Any) -> None:
    """Every number becomes `value`. Raises TileError TD0205, TD0206 for a Python number that the dtype has not."""
    assert dst.packed is not None
    if not isinstance(number := number_or_scalar(value), Scalar):
        literal(number, dst.packed)
    bits = bits_of(scalar(number, None if isinstance(number, float) else WIDER[dst.packed]), dst.packed)
    emit(Fill(dst.stored(), simplify(_byte(bits, bits), {}), span=tracer.here()))


def _byte(low: Scalar, high: Scalar) -> Expr:
    return expr_of(cast(bitwise("|", low, shift("<<", high, 4)), UINT8))
