"""Numbers side by side, as words on pairs and on wide accesses take and give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from tiledsl.frontend.proxies import WORDS, Scalar, TypeWord, converted, expr_of, operand
from tiledsl.frontend.source import fail
from tiledsl.frontend.traced import Traced
from tiledsl.frontend.tracer import Tracer, tracer_of
from tiledsl.ir.dtypes import INDEX, DType
from tiledsl.ir.nodes import Alloc, Buffer, Const, Expr, For, Load, Space, Store, Var, Vectorized

_IN_MEMORY = (Space.GLOBAL, Space.SHARED)


class Lanes(Traced):
    """Numbers of one dtype. `v[0]` is the first; neighbours in a tensor take them all: `A[i : i + 2] = v`.

    `packed` is the same bits as one number, where a word has computed them so.
    """

    __slots__ = ("packed", "type", "values")

    def __init__(self, values: Sequence[Scalar], dtype: DType, packed: Scalar | None = None) -> None:
        self.values, self.type, self.packed = tuple(values), dtype, packed

    @property
    def dtype(self) -> TypeWord:
        return WORDS[self.type.name]

    def shown(self) -> str:
        return f"{len(self)} numbers of {self.type}"

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Scalar]:  # type: ignore[override]
        return iter(self.values)

    def __getitem__(self, index: Any) -> Scalar:
        number = operand(index)
        if not isinstance(number, int) or not -len(self) <= number < len(self):
            raise fail("TD0285", what=self.shown(), value=f"the index {index}", needs=f"a constant below {len(self)}")
        return self.values[number]

    def _apply(self, op: str, *operands: Any) -> NoReturn:
        raise fail(
            "TD0285", what=f"'{op}'", value=self.shown(), needs="single numbers, as v[0], or T.add2 and its like"
        )


def private(tracer: Tracer, count: int, dtype: DType) -> Buffer:
    """An array of the thread for `count` neighbours."""
    buffer = Buffer("lanes", (count,), dtype, Space.LOCAL)
    tracer.emit(Alloc(buffer, span=tracer.here()))
    return buffer


def each_lane(tracer: Tracer, count: int, body: Any) -> None:
    """`body(v)` for each lane v: one access, where the addresses allow it."""
    v = Var("v", INDEX)
    tracer.emit(For(v, Const(count, INDEX), (body(v),), Vectorized(), span=tracer.here()))


def store_lanes(buffer: Buffer, offsets: tuple[Expr, ...], value: Lanes) -> None:
    """The numbers, converted to the dtype of `buffer`, from the element at `offsets` on."""
    tracer = tracer_of("a store")
    span, exprs = tracer.here(), [converted(v, buffer.dtype) for v in value.values]
    first = offsets[-1]
    if buffer.space not in _IN_MEMORY or len(exprs) == 1:
        for i, e in enumerate(exprs):
            tracer.emit(Store(buffer, (*offsets[:-1], first + i if i else first), e, span=span))
        return
    held = private(tracer, len(exprs), buffer.dtype)
    for i, e in enumerate(exprs):
        tracer.emit(Store(held, (Const(i, INDEX),), e, span=span))
    each_lane(tracer, len(exprs), lambda v: Store(buffer, (*offsets[:-1], first + v), Load(held, (v,)), span=span))
    tracer.wrote(buffer)


def load_lanes(buffer: Buffer, offsets: tuple[Expr, ...], count: int, place: Scalar, value: Any = None) -> list[Scalar]:
    """`count` elements from the one at `offsets` on; `place` carries what the offsets depend on.

    `value` makes the expression that is read of that of an element; without it is the element.
    """
    tracer = tracer_of("a load")
    expr_of(place)  # what the offsets need must still be there
    first = offsets[-1]
    read = value or (lambda e: e)
    if buffer.space not in _IN_MEMORY or count == 1:
        exprs = [read(Load(buffer, (*offsets[:-1], first + i if i else first))) for i in range(count)]
        count_of = tracer.writes.get(tracer.storage_of(buffer), 0)
        return [Scalar(e, buffer.dtype, tracer.frame, ((buffer, count_of), *place.reads)) for e in exprs]
    held, span = private(tracer, count, buffer.dtype), tracer.here()
    each_lane(tracer, count, lambda v: Store(held, (v,), read(Load(buffer, (*offsets[:-1], first + v))), span=span))
    return [Scalar(Load(held, (Const(i, INDEX),)), buffer.dtype, tracer.frame) for i in range(count)]
