"""Parameters of a kernel: tensors as buffers, and the sizes of the constant style, found from the arguments."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.packed import WIDER, Packed, declared
from tiledsl.frontend.proxies import Scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor, TensorType, extent_of, shape_text
from tiledsl.frontend.tracer import TensorSpec, Tracer
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.dtypes import INDEX, UINT8
from tiledsl.ir.nodes import Buffer, Space, Var


class SizesFound(BaseException):
    """Ends the first run of a constant-style kernel, when the last tensor has been declared."""


class ConstSize(Scalar):
    """A size of `T.const` while the sizes are being found."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__(Var(name, INDEX), INDEX)
        self.name = name


def const_size(tracer: Tracer, name: str) -> Any:
    """The size `name` of `T.const`: an integer, or a placeholder while the sizes are being found."""
    if tracer.const_sizes is None:
        return ConstSize(name)
    if name not in tracer.const_sizes:
        raise fail("TD0126" if tracer.tensors else "TD0148", name=name)
    return tracer.const_sizes[name]


def buffer_of(name: str, annotation: TensorType) -> Buffer:
    """The global buffer of a tensor parameter."""
    strides = None if annotation.strides is None else tuple(extent_of(s) for s in annotation.strides)
    return Buffer(name, annotation.extents(), annotation.dtype, Space.GLOBAL, strides)


def declare_tensor(tracer: Tracer, name: str, annotation: TensorType) -> Tensor | Packed:
    """The parameter `name` of the constant style, checked against its argument.

    Raises TileError TD0127, TD0137 where the two disagree; SizesFound if only the sizes were wanted, by the last.
    """
    tracer.undeclared.discard(name)
    if name in tracer.tensors:
        _check_argument(tracer, name, annotation, tracer.tensors[name])
    if tracer.const_sizes is None and not tracer.undeclared:
        raise SizesFound
    buffer = buffer_of(name, annotation)
    if tracer.const_sizes is None:  # rows may have no length yet
        return Tensor(buffer)
    tracer.params[name], tensor = declared(buffer)
    return tensor


def _check_argument(tracer: Tracer, name: str, annotation: TensorType, spec: TensorSpec) -> None:
    """Notes the sizes that the argument fixes."""
    given, wanted = spec.shape, annotation.shape
    pairs = annotation.dtype in WIDER
    if pairs and given:
        given = (*given[:-1], 2 * given[-1])  # numbers, where the argument has bytes
    if len(given) != len(wanted):
        raise fail(
            "TD0137", name=name, what="shape", given=shape_text(given), declared=shape_text(annotation.extents())
        )
    for dim, (size, actual) in enumerate(zip(wanted, given)):
        if isinstance(size, ConstSize):
            known = tracer.found_sizes.setdefault(size.name, actual)
            if known != actual:
                raise fail("TD0127", size=size.name, name=name, dim=dim, actual=actual, known=known)
        elif isinstance(size, int) and size != actual:
            shape = shape_text(annotation.extents())
            raise fail("TD0137", name=name, what="shape", given=shape_text(given), declared=shape)
    if dtype_named(spec.dtype) != (UINT8 if pairs else annotation.dtype):
        shown = f"{annotation.dtype}, two of which are a uint8" if pairs else str(annotation.dtype)
        raise fail("TD0137", name=name, what="dtype", given=spec.dtype, declared=shown)


# The sizes of `T.dynamic` by name: the same name is the same size in one kernel, so it is the same variable everywhere.
DYNAMIC: dict[str, Var] = {}


def dynamic_size(name: str) -> Scalar:
    """The run-time size `name`."""
    return Scalar(DYNAMIC.setdefault(name, Var(name, INDEX)), INDEX)


def dynamic_sizes(buffers: list[Buffer]) -> tuple[Var, ...]:
    """The dynamic sizes in the order in which the parameters' shapes and strides name them."""
    found: dict[Var, None] = {}
    for b in buffers:
        for extent in (*b.shape, *(b.strides or ())):
            if isinstance(extent, Var):
                found.setdefault(extent)
    return tuple(found)
