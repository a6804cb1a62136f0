"""The arguments of a search, what must come of them, and whether it does."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiledsl.checking.compare import difference, tolerance_of
from tiledsl.compile import Lowered
from tiledsl.cpu.arrays import copies_of, poison
from tiledsl.runtime.signature import TensorParameter
from tiledsl.validation.inputs import touched

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Tolerance:
    """None: that of the dtype of the result. `mismatched` is the share of elements that may be further away."""

    rtol: float | None = None
    atol: float | None = None
    mismatched: float = 0.0


def fresh_inputs(lowered: Lowered, given: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of the arguments, but for what a call allocates; what is only written is poisoned.

    So nobody who writes nothing is found right because of what an earlier run left there.
    """
    results = {p.name for p in lowered.signature.parameters if isinstance(p, TensorParameter) and p.result is not None}
    made = copies_of({n: v for n, v in given.items() if n not in results})
    read, written = touched(lowered.stages[0].kernel)
    for name in {b.name for b in written} - {b.name for b in read}:
        if isinstance(made.get(name), np.ndarray):
            poison(made[name])
    return made


def differs(actual: Arrays, expected: Arrays, allowed: Tolerance) -> str:
    """The first tensor that is not what it must be, and where; empty if all are."""
    for name, wanted in expected.items():
        found = actual[name]
        if found.shape != wanted.shape:
            return f"'{name}' has the shape {found.shape}, the reference {wanted.shape}"
        usual = tolerance_of(found.dtype)
        rtol, atol = (usual if t is None else t for t in (allowed.rtol, allowed.atol))
        d = difference(*_alike(found, wanted), rtol, atol)
        if d is not None and d.count > allowed.mismatched * d.size:
            return f"'{name}': {d}"
    return ""


def _alike(found: Array, wanted: Array) -> tuple[Array, Array]:
    """Both as floats where one of them is: a reference need not have the dtype of the result."""
    kinds = [x.dtype.kind in "iub" for x in (found, wanted)]
    return (found, wanted) if kinds[0] == kinds[1] else (found.astype(np.float64), wanted.astype(np.float64))


def digest(values: Mapping[str, Any]) -> str:
    """A name for exactly these arrays and numbers."""
    made = hashlib.sha256()
    for name in sorted(values):
        value = values[name]
        if isinstance(value, np.ndarray):
            made.update(f"{name} {value.dtype.str} {value.dtype.name} {value.shape} {value.strides}\n".encode())
            made.update(np.ascontiguousarray(value).tobytes())
        else:
            made.update(f"{name} {value!r}\n".encode())
    return made.hexdigest()
