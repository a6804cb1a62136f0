"""Runs a kernel function once under tracing and returns the IR that its words have built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from tiledsl.errors import NOWHERE, TileError, error
from tiledsl.frontend.overlaps import check_overlaps
from tiledsl.frontend.packed import Packed, declared
from tiledsl.frontend.parameters import DYNAMIC, SizesFound, buffer_of, dynamic_sizes
from tiledsl.frontend.pointers import Pointer
from tiledsl.frontend.proxies import Scalar
from tiledsl.frontend.rewrite import rewritten
from tiledsl.frontend.signature import Kind, Parameter, Signature, signature_of
from tiledsl.frontend.source import innermost_code, is_package, span_of_code, user_places
from tiledsl.frontend.tensors import Tensor
from tiledsl.frontend.traced import Poison, Traced
from tiledsl.frontend.tracer import Activation, TensorSpec, Tracer, in_force
from tiledsl.ir.nodes import Buffer, Kernel, Param, Var
from tiledsl.ir.walk import walk

__all__ = ["TensorSpec", "trace_kernel"]

_REWRITTEN: WeakKeyDictionary[FunctionType, FunctionType] = WeakKeyDictionary()


def trace_kernel(
    fn: FunctionType, static: Mapping[str, object], tensors: Mapping[str, TensorSpec], name: str | None = None
) -> Kernel:
    """The kernel at the tile stage, for the given values of the static parameters.

    `tensors` are the arguments of the constant style, whose sizes they fix; `static` may give these sizes by name.
    Whatever is wrong in the user's function is a TileError with the place in their text.
    """
    signature = signature_of(fn)
    if fn not in _REWRITTEN:
        _REWRITTEN[fn] = rewritten(fn, signature.scope)
    sizes = {n: v for n, v in static.items() if isinstance(v, int)}
    if signature.constant_style:
        finder = Tracer(name or fn.__name__, tensors, const_sizes=None)
        finder.found_sizes.update(sizes)
        _run(finder, signature, static, _REWRITTEN[fn])
        sizes = finder.found_sizes
    tracer = Tracer(name or fn.__name__, tensors, const_sizes=sizes)
    returned = _run(tracer, signature, static, _REWRITTEN[fn])
    return _kernel(tracer, signature, fn, returned)


def _run(tracer: Tracer, signature: Signature, static: Mapping[str, object], body: Callable[..., Any]) -> Any:
    """Calls the rewritten function with proxies; its result, or None when it was run only to find sizes."""
    arguments = {p.name: _argument(tracer, p, static, body) for p in signature.parameters}
    tracer.activations.append(Activation(signature.name, None))
    try:
        with in_force(tracer):
            returned = body(**arguments)
            for close in tracer.at_end:
                close()
            return returned
    except SizesFound:
        return None
    except TileError as raised:
        raise _located(raised) from raised.__cause__
    except Exception as raised:  # the one place where the user's own Python is run: whatever it raises is reported
        raise _reported(raised) from raised


def _argument(tracer: Tracer, p: Parameter, static: Mapping[str, object], body: Callable[..., Any]) -> Any:
    match p.kind:
        case Kind.TENSOR if p.tensor is None:
            tracer.undeclared.add(p.name)
            return Poison("TD0140", name=p.name)
        case Kind.TENSOR:
            assert p.tensor is not None
            buffer = buffer_of(p.name, p.tensor)
            tracer.params[p.name], tensor = declared(buffer, place=span_of_code(body.__code__))
            return tensor
        case Kind.POINTER:
            assert p.pointer is not None
            return Pointer(p.name, p.pointer)
        case Kind.SCALAR:
            assert p.dtype is not None
            var = Var(p.name, p.dtype)
            tracer.params[p.name] = var
            return Scalar(var, p.dtype)
    if p.name in static:
        return static[p.name]
    if not p.has_default:
        raise error("TD0134", span_of_code(body.__code__), name=p.name, kind="a value of the compile-time parameter")
    return p.default


def _kernel(tracer: Tracer, signature: Signature, fn: FunctionType, returned: Any) -> Kernel:
    place = span_of_code(fn.__code__)
    if tracer.undeclared:
        raise error("TD0140", place, name=min(tracer.undeclared))
    if not tracer.launches:
        raise error("TD0121", place, name=tracer.name)
    for p in signature.of_kind(Kind.POINTER):
        if p.name not in tracer.params:
            raise error("TD0151", place, name=p.name)
    results = _results(tracer, returned, fn)
    params: list[Param] = [tracer.params[p.name] for p in signature.parameters if p.name in tracer.params]
    params += [b for b in tracer.empties if b in results]
    scratch = [*tracer.scratch, *(b for b in tracer.empties if b not in results)]
    launches = tracer.launches
    if len(launches) > 1:
        launches = [replace(launch, name=f"{tracer.name}_{i}") for i, launch in enumerate(launches)]
    kernel = Kernel(
        tracer.name,
        tuple(params),
        tuple(launches),
        dynamic_sizes([p for p in params if isinstance(p, Buffer) and p not in tracer.pointers]),
        tuple(scratch),
        tuple(results),
        "\n".join(tracer.source),
        place,
        tuple(tracer.references.values()),
        tuple(tracer.flags),
        tuple(tracer.overlapping),
        tuple(tracer.pointers),
        tuple((name, option, value) for (name, option), value in tracer.options.items()),
    )
    check_overlaps(kernel)
    _check_sizes(kernel)
    return kernel


def _results(tracer: Tracer, returned: Any, fn: FunctionType) -> list[Buffer]:
    values = returned if isinstance(returned, (tuple, list)) else [] if returned is None else [returned]
    results: list[Buffer] = []
    for value in values:
        tensor = value.bytes if isinstance(value, Packed) else value
        if not isinstance(tensor, Tensor) or tensor.buffer not in tracer.empties:
            shown = value.shown() if isinstance(value, Traced) else repr(value)
            raise error("TD0128", span_of_code(fn.__code__), value=shown)
        results.append(tensor.buffer)
    return results


def _check_sizes(kernel: Kernel) -> None:
    """Raises TileError TD0141 for a size of `T.dynamic` that no tensor parameter has as a dimension."""
    if not DYNAMIC:
        return
    known = {*kernel.sizes, *kernel.params}
    dynamic = set(DYNAMIC.values())
    for launch in kernel.launches:
        for node in walk(launch):
            if isinstance(node, Var) and node in dynamic and node not in known:
                raise error("TD0141", launch.span, name=node.name)
    for b in (*kernel.params, *kernel.scratch):
        for extent in b.shape if isinstance(b, Buffer) else ():
            for node in walk(extent) if not isinstance(extent, int) else ():
                if isinstance(node, Var) and node not in known:
                    raise error("TD0141", kernel.span, name=node.name)


# --------------------------------------------------------------------------------------------------------- errors


def _located(raised: TileError) -> TileError:
    """`raised` with its place, and the calls of macros and helper functions that led there."""
    places = list(user_places(raised.__traceback__))
    if raised.span is NOWHERE and places:
        raised.span = places[-1]
    inner = raised.span
    for place in reversed(places):
        # A lambda or comprehension runs within the expression that holds it.
        if place.file != inner.file or not place.line <= inner.line <= place.end_line:
            raised.notes += (("called from here", place),)
            inner = place
    return raised


def _reported(raised: Exception) -> TileError:
    """An exception of the user's Python as a TileError at its place; one of our own as an internal error."""
    code = innermost_code(raised.__traceback__)
    reason = f"{type(raised).__name__}: {raised}"
    if code is not None and is_package(code) and not isinstance(raised, RecursionError):
        return _located_at(error("TD0001", reason=reason), raised)
    return _located_at(error("TD0116", problem=reason), raised)


def _located_at(made: TileError, raised: Exception) -> TileError:
    made.__traceback__ = raised.__traceback__
    return _located(made)
