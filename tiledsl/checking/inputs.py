"""The arguments of a check by name: those of a call, on the host, or made ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiledsl.compile import Lowered
from tiledsl.errors import error
from tiledsl.ir.nodes import Kernel, Var
from tiledsl.runtime.arguments import as_array, as_tensor, bind
from tiledsl.runtime.signature import TensorParameter
from tiledsl.validation.inputs import make_inputs
from tiledsl.validation.sizes import Sizing, choose_sizes


@dataclass(frozen=True)
class Given:
    """Arrays of the host and scalars by name, results left out. `about` says in words where they come from."""

    values: Mapping[str, Any]
    about: str = ""


def inputs_of(lowered: Lowered, args: Sequence[Any], kwargs: Mapping[str, Any], seed: int) -> Iterator[Given]:
    """What to run on: the arguments, or where there is no tensor among them, made ones, the most telling first.

    Then `kwargs` may give sizes and scalars by name. Raises TileError TD06xx where arguments do not fit.
    """
    if args or any(as_tensor(v) is not None for v in kwargs.values()):
        yield Given(on_host(lowered, args, kwargs))
        return
    kernel = lowered.stages[0].kernel
    numbers = [*kernel.sizes, *(p for p in kernel.params if isinstance(p, Var))]
    if unknown := kwargs.keys() - {v.name for v in numbers}:
        expected = ", ".join(v.name for v in numbers) or "no sizes"
        raise error("TD0602", kernel=kernel.name, name=min(unknown), expected=expected)
    for sizing in Sizing:
        yield _made(lowered, kernel, sizing, kwargs, seed)


def _made(lowered: Lowered, kernel: Kernel, sizing: Sizing, named: Mapping[str, Any], seed: int) -> Given:
    sizes = {v: named.get(v.name, n) for v, n in choose_sizes(kernel, sizing).items()}
    values = make_inputs(kernel, sizes, seed=seed).values
    wanted = [p for p in lowered.signature.parameters if not (isinstance(p, TensorParameter) and p.result is not None)]
    about = ["small integers", *(f"{v.name}={n}" for v, n in sizes.items())]
    return Given({p.name: values[p.name] for p in wanted}, f"made inputs ({', '.join(about)})")


def on_host(lowered: Lowered, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, tensors as arrays of the host. Raises TileError TD06xx where they do not fit."""
    bound = bind(lowered.signature, [_copied(a) for a in args], {n: _copied(v) for n, v in kwargs.items()})
    arrays: dict[str, np.ndarray[Any, Any]] = {
        n: as_array(t) for n, t in bound.tensors.items() if n not in bound.results
    }
    return {**arrays, **bound.scalars}


def _copied(value: Any) -> Any:
    """Tensors of torch and arrays of CuPy, brought from the GPU to the host; anything else as it is."""
    if getattr(value, "is_cuda", False):
        return value.detach().cpu()
    return value.get() if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get") else value
