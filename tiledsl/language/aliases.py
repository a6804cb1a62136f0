"""The same bits as a tensor of another shape or dtype."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.packed import Packed, declared
from tiledsl.frontend.proxies import describe
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor, extent_of, shape_text
from tiledsl.frontend.tracer import tracer_of
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.nodes import Buffer, Extent, View
from tiledsl.ir.simplify import simplify
from tiledsl.language.sizes import sizes


def alias(word: str, src: Any, shape: Any, dtype: Any) -> Tensor | Packed:
    """A view of the bits of `src` in row-major order; None keeps its shape or dtype. TD0235 or TD0237 if it cannot."""
    tracer = tracer_of(word)
    tracer.launch(word)
    if not isinstance(src, (Tensor, Packed)):
        raise fail("TD0235", word=word, parameter="src", value=describe(src))
    source = src.bytes if isinstance(src, Packed) else src
    source.check_elements()
    source.check_alive()
    old = src.buffer
    type_ = old.dtype if dtype is None else dtype_named(dtype)
    new = old.shape if shape is None else tuple(extent_of(s) for s in sizes(shape, word))
    if shape is None and type_.bits != old.dtype.bits:
        last = old.shape[-1] * old.dtype.bits if isinstance(old.shape[-1], int) else 0
        if not last or last % type_.bits:
            raise fail("TD0237", word=word, name=old.name, old=_bits_text(old.shape, old), new=f"whole {type_} rows")
        new = (*old.shape[:-1], last // type_.bits)
    if _bits(new, type_.bits) != _bits(old.shape, old.dtype.bits) or old.strides is not None:
        shown = f"{shape_text(new)} of {type_}"
        raise fail("TD0237", word=word, name=old.name, old=_bits_text(old.shape, old), new=shown)
    buffer, made = declared(Buffer(tracer.take_name(f"{old.name}_view"), new, type_, old.space), tracer.frame)
    tracer.storage[buffer] = source.buffer
    tracer.emit(View(buffer, source.buffer, span=tracer.here()))
    return made


def _bits(shape: tuple[Extent, ...], bits: int) -> object:
    """The size of a tensor in bits, as a number or a simplified expression, so that equal sizes compare equal."""
    constant = bits
    rest: Any = None
    for e in shape:
        if isinstance(e, int):
            constant *= e
        else:
            rest = e if rest is None else rest * e
    return constant if rest is None else simplify(rest * constant, {})


def _bits_text(shape: tuple[Extent, ...], buffer: Buffer) -> str:
    return f"{shape_text(shape)} of {buffer.dtype}"
