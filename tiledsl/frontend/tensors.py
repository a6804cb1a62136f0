"""Tensors and their parts as the user's code sees them: shapes, elements, slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from tiledsl.frontend.lanes import Lanes, store_lanes
from tiledsl.frontend.proxies import WORDS, Scalar, TypeWord, converted, dependencies, describe, index_of, operand
from tiledsl.frontend.source import fail
from tiledsl.frontend.traced import Poison, Traced
from tiledsl.frontend.tracer import Frame, tracer_of
from tiledsl.ir.dtypes import INDEX, DType
from tiledsl.ir.nodes import Binary, Buffer, Cast, Const, Expr, Extent, Load, Region, Space, Store
from tiledsl.ir.printer import text
from tiledsl.ir.simplify import simplify
from tiledsl.ir.types import dtype_of

ZERO = Const(0, INDEX)


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor parameter: extents are integers or traced sizes; `strides` in elements, None for contiguous."""

    shape: tuple[int | Scalar, ...]
    dtype: DType
    strides: tuple[int | Scalar, ...] | None = None

    def extents(self) -> tuple[Extent, ...]:
        """The shape for a `Buffer`."""
        return tuple(extent_of(s) for s in self.shape)


def extent_of(size: int | Scalar) -> Extent:
    """A size for a `Buffer` or a loop: an integer, or an index expression."""
    return index_of(size, "a size") if isinstance(size, Scalar) else int(size)


def size_of(extent: Extent) -> int | Scalar:
    """An extent of a `Buffer` as the user sees it."""
    return extent if isinstance(extent, int) else Scalar(extent, INDEX)


def shape_text(extents: Sequence[Extent | None]) -> str:
    """Extents for a message, as a Python tuple."""
    shown = ["?" if e is None else str(e) if isinstance(e, int) else text(e) for e in extents]
    return f"({', '.join(shown)}{',' if len(shown) == 1 else ''})"


class Shaped(Traced):
    """What has a name, a shape and a dtype: those of `buffer`."""

    __slots__ = ("buffer",)

    buffer: Buffer

    @property
    def shape(self) -> tuple[int | Scalar, ...]:
        return tuple(size_of(e) for e in self.buffer.shape)

    @property
    def dtype(self) -> TypeWord:
        return WORDS[self.buffer.dtype.name]

    @property
    def data(self) -> Self:
        """What `T.Tensor(shape, dtype, A.data)` is a view of."""
        return self

    @property
    def name(self) -> str:
        return self.buffer.name

    @property
    def ndim(self) -> int:
        return len(self.buffer.shape)


class Tensor(Shaped):
    """Memory of the kernel: a parameter, or what an `alloc_` word made. Elements by `A[i, j]`, parts by `A[a:b, :]`."""

    __slots__ = ("frame",)

    def __init__(self, buffer: Buffer, frame: Frame | None = None) -> None:
        self.buffer, self.frame = buffer, frame

    def shown(self) -> str:
        return f"'{self.buffer.name}'"

    def scope(self) -> str:
        """The scope's name in the language."""
        return self.buffer.space.value

    def __getitem__(self, index: Any) -> Any:
        offsets, extents, reads = parse_index(self.buffer, index)
        if any(e is not POINT for e in extents):
            return Slice(self, offsets, tuple(1 if e is POINT else e for e in extents), reads)
        tracer = tracer_of("an element of a tensor")
        self.check_alive()
        if self.buffer.space is Space.BARRIER:
            return BarrierElement(self, offsets, reads)
        buffer = self.buffer
        frame, more = dependencies([reads, Scalar(ZERO, INDEX, self.frame)])
        count = tracer.writes.get(tracer.storage_of(buffer), 0)
        return Scalar(Load(buffer, offsets), buffer.dtype, frame, ((buffer, count), *more))

    def __setitem__(self, index: Any, value: Any) -> None:
        offsets, extents, _ = parse_index(self.buffer, index)
        tracer = tracer_of("a store")
        self.check_elements()
        if any(e is not POINT for e in extents):
            self._set_part(offsets, extents, value)
            return
        if isinstance(value, (Tensor, Slice)):
            raise fail("TD0231", name=self.buffer.name, value=describe(value))
        frame = tracer.launch("a store")
        self.check_alive()
        stored = converted(value, self.buffer.dtype)
        late = self.buffer.space is Space.SHARED and isinstance(stored, Load) and stored.buffer.space is Space.GLOBAL
        tracer.emit(Store(self.buffer, offsets, stored, asynchronous=late and frame.copies_late, span=tracer.here()))

    def _set_part(self, offsets: tuple[Expr, ...], extents: tuple[int | None, ...], value: Any) -> None:
        """Neighbours take the numbers of `Lanes`. Raises TileError TD0230 for other values, TD0285 for too many."""
        if not isinstance(value, Lanes) or self.buffer.space is Space.FRAGMENT:
            raise fail("TD0230", name=self.buffer.name)
        taken = tuple(1 if e is POINT else e for e in extents)
        if taken != (*(1,) * (len(taken) - 1), len(value)):
            shown = f"{shape_text(taken)} of '{self.buffer.name}'"
            needs = "one number for each neighbour of the last dimension"
            raise fail("TD0285", what=shown, value=value.shown(), needs=needs)
        tracer_of("a store").launch("a store")
        self.check_alive()
        store_lanes(self.buffer, offsets, value)

    def check_elements(self) -> None:
        """Raises TileError TD0249 for barriers, whose elements are no numbers."""
        if self.buffer.space is Space.BARRIER:
            raise fail("TD0249", name=self.buffer.name)

    def check_alive(self) -> None:
        """Raises TileError TD0112 if the block that allocated the tensor has ended."""
        if self.frame is not None and not self.frame.open:
            raise fail("TD0112", value=self.shown(), scope=self.frame.what)

    def _apply(self, op: str, *operands: Any) -> Any:
        raise fail("TD0232", name=self.buffer.name)

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__


class Slice(Traced):
    """A box of a tensor. An extent is None where a whole dynamic dimension was taken."""

    __slots__ = ("extents", "offsets", "reads", "tensor")

    def __init__(
        self, tensor: Tensor, offsets: tuple[Expr, ...], extents: tuple[int | None, ...], reads: Scalar
    ) -> None:
        self.tensor, self.offsets, self.extents, self.reads = tensor, offsets, extents, reads

    @property
    def shape(self) -> tuple[int | Scalar, ...]:
        whole = self.tensor.shape
        return tuple(whole[i] if e is None else e for i, e in enumerate(self.extents))

    @property
    def dtype(self) -> TypeWord:
        return self.tensor.dtype

    def shown(self) -> str:
        return f"a slice of '{self.tensor.buffer.name}'"

    def __getitem__(self, _index: Any) -> Any:
        raise fail("TD0233", name=self.tensor.buffer.name)

    def __setitem__(self, _index: Any, _value: Any) -> None:
        raise fail("TD0233", name=self.tensor.buffer.name)

    def _apply(self, op: str, *operands: Any) -> Any:
        raise fail("TD0232", name=self.tensor.buffer.name)


class BarrierElement(Traced):
    """One of several mbarriers: an operand of barrier words, not a number."""

    __slots__ = ("offsets", "reads", "tensor")

    def __init__(self, tensor: Tensor, offsets: tuple[Expr, ...], reads: Scalar) -> None:
        self.tensor, self.offsets, self.reads = tensor, offsets, reads

    def shown(self) -> str:
        return f"{self.tensor.buffer.name}[{', '.join(map(text, self.offsets))}]"

    def _apply(self, op: str, *operands: Any) -> Any:
        raise fail("TD0249", name=self.tensor.buffer.name)


class NoTile(Traced):
    """What looks like a tensor, but is no operand of tile words in general."""

    __slots__ = ()

    def no_tile(self, word: str) -> NoReturn:
        """Raises the TileError that says why."""
        raise NotImplementedError


POINT = -1  # the extent of a dimension that is indexed, not sliced


def parse_index(buffer: Buffer, index: Any) -> tuple[tuple[Expr, ...], tuple[int | None, ...], Scalar]:
    """Offsets and extents of `buffer[index]`; missing indices take whole dimensions, POINT marks an indexed one.

    The third result carries what the offsets depend on.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    shape = buffer.shape
    if Ellipsis in [p for p in parts if p is Ellipsis]:
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        parts[at : at + 1] = [slice(None)] * max(0, len(shape) - len(parts) + 1)
    if len(parts) > len(shape):
        raise fail("TD0207", name=buffer.name, shape=shape_text(shape), rank=len(shape), given=len(parts))
    parts += [slice(None)] * (len(shape) - len(parts))
    offsets: list[Expr] = []
    extents: list[int | None] = []
    used: list[Scalar] = []
    for dim, part in enumerate(parts):
        if isinstance(part, slice):
            offset, extent = _slice(buffer, dim, part)
            used += [p for p in (part.start, part.stop) if isinstance(p, Scalar)]
        else:
            offset, extent = _point(buffer, dim, part), POINT
            used += [part] if isinstance(part, Scalar) else []
        offsets.append(offset)
        extents.append(extent)
    frame, reads = dependencies(used)
    return tuple(offsets), tuple(extents), Scalar(ZERO, INDEX, frame, reads)


def _bound(buffer: Buffer, dim: int, value: Any, *, is_end: bool) -> int | Expr:
    """An index or a bound of a slice; a negative constant counts from the end, as in Python."""
    size = buffer.shape[dim]
    value = operand(value)
    if isinstance(value, Scalar) and isinstance(e := index_of(value), Const):
        value = int(e.value)
    if isinstance(value, Scalar):
        return index_of(value)
    e = index_of(value)
    assert isinstance(e, Const)
    number = int(e.value)
    if number < 0:
        if not isinstance(size, int):
            return size + number
        if number + size >= 0:
            return number + size
    if number < 0 or (isinstance(size, int) and number >= size + is_end and not is_end):
        raise fail("TD0208", index=number, name=buffer.name, dim=dim, shape=shape_text(buffer.shape), size=size)
    if is_end and isinstance(size, int) and number > size and buffer.space is not Space.GLOBAL:
        raise fail("TD0208", index=number, name=buffer.name, dim=dim, shape=shape_text(buffer.shape), size=size)
    return number


def _point(buffer: Buffer, dim: int, value: Any) -> Expr:
    if value is None or isinstance(value, (str, list, tuple, Tensor, Slice)):
        raise fail("TD0209", value=describe(value), use="an index")
    bound = _bound(buffer, dim, value, is_end=False)
    return Const(bound, INDEX) if isinstance(bound, int) else bound


def _slice(buffer: Buffer, dim: int, part: slice) -> tuple[Expr, int | None]:
    name, size = buffer.name, buffer.shape[dim]
    if part.step is not None and not (isinstance(part.step, int) and part.step == 1):
        raise fail("TD0210", name=name, step=describe(part.step))
    start = 0 if part.start is None else _bound(buffer, dim, part.start, is_end=True)
    if part.stop is None:
        stop: int | Expr = size
        if not isinstance(size, int) and start == 0:
            return ZERO, None
    else:
        stop = _bound(buffer, dim, part.stop, is_end=True)
    if isinstance(start, int) and isinstance(stop, int):
        extent = stop - start
    else:
        difference = simplify(_without_width((Const(stop, INDEX) if isinstance(stop, int) else stop) - start), {})
        if not isinstance(difference, Const):
            raise fail("TD0211", name=name, dim=dim, extent=text(difference))
        extent = int(difference.value)
    if extent <= 0:
        raise fail("TD0212", name=name, dim=dim, extent=extent)
    return Const(start, INDEX) if isinstance(start, int) else start, extent


def _without_width(e: Expr) -> Expr:
    """`e`, an index, computed without the widths of machine integers: the same number modulo the narrowest of them.

    So `page * 16 : (page + 1) * 16` is 16 long for an int32 `page`. Where the arithmetic of one end wraps and that of
    the other does not, the slice would be empty or longer than any tensor, which no program means.
    """
    match e:
        case Binary("+" | "-" | "*" as op, a, b):
            return Binary(op, _without_width(a), _without_width(b))
        case Cast(_, Binary("+" | "-" | "*" as op, a, b)) if dtype_of(a).is_integer:
            return Binary(op, _without_width(_as_index(a)), _without_width(_as_index(b)))
        case Cast(_, Cast(dtype, a)) if dtype.is_integer and dtype_of(a).is_integer:
            return _without_width(_as_index(a))
    return e


def _as_index(e: Expr) -> Expr:
    if isinstance(e, Const):
        return Const(int(e.value), INDEX)
    return e if dtype_of(e) is INDEX else Cast(INDEX, e)


# ------------------------------------------------------------------------------------------- operands of tile words


@dataclass(frozen=True, slots=True)
class Tile:
    """A tensor operand of a tile word. `is_start`: only a first element was given, the other side has the extents.

    An extent is None for a whole dynamic dimension.
    """

    tensor: Tensor
    offsets: tuple[Expr, ...]
    extents: tuple[int | None, ...]
    is_start: bool = False

    @property
    def buffer(self) -> Buffer:
        return self.tensor.buffer

    @property
    def name(self) -> str:
        return self.tensor.buffer.name

    def shown(self) -> str:
        """The operand for a message: its name and the extents taken."""
        return f"'{self.name}' {shape_text(self.extents)}"

    def region(self, word: str) -> Region:
        """The region.

        Raises TileError TD0234 where an extent is not a constant, TD0247 where it is longer than a tile of the block;
        only regions of global tensors may reach over the end.
        """
        for dim, extent in enumerate(self.extents):
            if extent is None:
                raise fail("TD0234", word=word, name=self.name, dim=dim, extent=shape_text(self.buffer.shape))
            size = self.buffer.shape[dim]
            if self.buffer.space is not Space.GLOBAL and isinstance(size, int) and extent > size:
                raise fail(
                    "TD0247", word=word, name=self.name, dim=dim, shape=shape_text(self.buffer.shape), extent=extent
                )
        return Region(self.buffer, self.offsets, tuple(e for e in self.extents if e is not None))


def tile_of(value: Any, word: str, parameter: str) -> Tile:
    """`value` as an operand of a tile word. Raises TileError TD0235 if it is no tensor or part of one."""
    match value:
        case BarrierElement():
            value.tensor.check_elements()
        case Tensor():
            value.check_elements()
            value.check_alive()
            whole = tuple(e if isinstance(e, int) else None for e in value.buffer.shape)
            return Tile(value, (ZERO,) * len(whole), whole)
        case Slice():
            value.tensor.check_elements()
            value.tensor.check_alive()
            return Tile(value.tensor, value.offsets, value.extents)
        case Scalar(expr=Load(buffer, indices)) if buffer.space is not Space.VAR:
            return Tile(Tensor(buffer, value.frame), indices, (1,) * len(indices), is_start=True)
        case NoTile():
            value.no_tile(word)
        case Poison():
            value.used()
    raise fail("TD0235", word=word, parameter=parameter, value=describe(value))
