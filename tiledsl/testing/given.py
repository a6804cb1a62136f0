"""What tests and tuners are given: inputs in several forms, and a reference called with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiledsl.checking.inputs import inputs_of
from tiledsl.compile import Lowered
from tiledsl.errors import error
from tiledsl.runtime.arguments import as_array, as_tensor
from tiledsl.runtime.signature import TensorParameter
from tiledsl.testing.case import Array, Draw, Inputs, copies_of

Reference = Callable[..., Any]


def drawn(inputs: Any, seed: int, exact: bool) -> Mapping[str, Any] | Sequence[Any] | None:
    """The inputs as they are, or as their function makes them."""
    if not callable(inputs):
        return inputs if inputs is None or isinstance(inputs, (Mapping, tuple, list)) else (inputs,)
    made = inputs(Draw(seed, exact)) if inspect.signature(inputs).parameters else inputs()
    return drawn(made, seed, exact)


def named_inputs(lowered: Lowered, given: Mapping[str, Any] | Sequence[Any] | None, seed: int) -> Inputs:
    """By name, as arrays of the host. Raises TileError TD06xx where they do not fit."""
    args, kwargs = ((), given) if isinstance(given, Mapping) else (given or (), {})
    return next(inputs_of(lowered, args, kwargs, seed)).values


def expected_of(lowered: Lowered, reference: Reference, inputs: Inputs) -> dict[str, Array]:
    """What the reference gives on copies of the inputs, by name. Raises TileError TD0634 for too many or too few."""
    copies = copies_of(inputs)
    try:
        inspect.signature(reference).bind(**copies)
    except TypeError:
        given = reference(*copies.values())
    else:
        given = reference(**copies)
    tensors = [p for p in lowered.signature.parameters if isinstance(p, TensorParameter)]
    results = sorted((p for p in tensors if p.result is not None), key=lambda p: p.result or 0)
    names = [p.name for p in results or tensors if p.written]
    if not isinstance(given, Mapping):
        values = given if isinstance(given, (tuple, list)) else (given,)
        if len(values) != len(names):
            wanted = f"an array for each of {', '.join(names)}"
            raise error("TD0634", what="what the reference gives", expected=wanted, given=f"{len(values)} of them")
        given = dict(zip(names, values))
    if unknown := given.keys() - {p.name for p in tensors}:
        raise error("TD0602", kernel=lowered.final.name, name=min(unknown), expected=", ".join(names))
    return {n: _array(n, v) for n, v in given.items()}


def _array(name: str, value: Any) -> Array:
    t = as_tensor(value)
    if t is None:
        raise error("TD0606", name=name, given=type(value).__name__)
    return as_array(t)
