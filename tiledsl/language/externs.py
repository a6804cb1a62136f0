"""Words that reach the user's own CUDA functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.proxies import Scalar, Variable, dependencies, describe, expr_of, scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Slice, Tensor, tile_of
from tiledsl.frontend.tracer import tracer_of
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.dtypes import HANDLE
from tiledsl.ir.nodes import Address, Evaluate, Extern, Reference
from tiledsl.language.tiles import begin


def import_source(text: str, references: Mapping[str, Callable[..., Any]] | None = None) -> None:
    """Puts CUDA text ahead of the kernel: the functions that `T.call_extern` calls.

    The GPU and the CPU device compile it. The executions in NumPy call `references`, by name: Python functions that do
    what the CUDA functions do, for one thread, on NumPy numbers; a pointer is a one-dimensional array of the elements
    from there on, which may be changed. Without one they raise TileError TD0820, and TD0821 for a wrong result.
    `T.import_source("__device__ float twice(float x) { return 2 * x; }", {"twice": lambda x: 2 * x})`.
    """
    tracer = tracer_of("T.import_source")
    if not isinstance(text, str):
        raise fail("TD0226", word="T.import_source", name="text", value=describe(text), allowed="CUDA text")
    tracer.source.append(text)
    for name, function in (references or {}).items():
        if not isinstance(name, str) or not callable(function):
            allowed = "a dict from names of functions to Python functions"
            raise fail("TD0226", word="T.import_source", name="references", value=describe(references), allowed=allowed)
        tracer.references[name] = Reference(name, function)


def call_extern(dtype: Any, name: str, *args: Any) -> Scalar | None:
    """Calls a CUDA function, exactly once and here; the result has the given dtype, "handle" stands for none."""
    tracer = begin("T.call_extern")
    called = _call("T.call_extern", dtype, name, args, pure=False)
    if called.type is HANDLE:
        tracer.emit(Evaluate(called.expr, span=tracer.here()))
        return None
    return bind(called, name)


def call_pure_extern(dtype: Any, name: str, *args: Any) -> Scalar:
    """Calls a CUDA function that only computes its value: the call may be repeated, moved, or left out."""
    begin("T.call_pure_extern")
    return _call("T.call_pure_extern", dtype, name, args, pure=True)


def _call(word: str, dtype: Any, name: Any, args: tuple[Any, ...], *, pure: bool) -> Scalar:
    if not isinstance(name, str) or not name.replace("::", "_").isidentifier():
        raise fail("TD0226", word=word, name="name", value=describe(name), allowed="the name of a function")
    values = [address_of(a) if isinstance(a, (Tensor, Slice)) else scalar(a) for a in args]
    frame, reads = dependencies(values)
    result = dtype_named(dtype)
    return Scalar(Extern(name, tuple(expr_of(v) for v in values), result, pure), result, frame, reads)


def address_of(element: Any) -> Scalar:
    """A pointer to an element of a tensor, or to the first of a part, for calls of the user's own functions."""
    begin("T.address_of")
    if isinstance(element, Variable):
        raise fail("TD0235", word="T.address_of", parameter="element", value=describe(element))
    tile = tile_of(element, "T.address_of", "element")
    return Scalar(Address(tile.buffer, tile.offsets), HANDLE, tile.tensor.frame)
