"""A kernel with inputs and a NumPy reference: what examples declare and tests run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.checking.compare import difference
from tiledsl.checking.execute import run_once
from tiledsl.cpu.arrays import copies_of, copy_of, poison
from tiledsl.frontend.trace import TensorSpec
from tiledsl.runtime.arguments import as_tensor

if TYPE_CHECKING:
    from tiledsl.backends import Backend
    from tiledsl.compile import Lowered
    from tiledsl.decorator import CompiledKernel, TileKernel

__all__ = [
    "Case",
    "Draw",
    "Mismatch",
    "compare",
    "copies_of",
    "copy_of",
    "dissimilarity",
    "poison",
    "run_case",
    "run_lowered",
]
Array = np.ndarray[Any, Any]
Inputs = Mapping[str, Any]


class Draw:
    """Inputs for one run: small integers if `exact`, so that every sum of products is exact, else N(0, 1)."""

    def __init__(self, seed: int = 0, exact: bool = True) -> None:
        self.rng = np.random.default_rng(seed)
        self.exact = exact

    def __call__(self, *shape: int, dtype: Any = np.float16) -> Array:
        if self.exact or np.issubdtype(np.dtype(dtype), np.integer):
            return self.rng.integers(-1, 2, shape).astype(dtype)
        return self.rng.standard_normal(shape).astype(np.float32).astype(dtype)


@dataclass(frozen=True)
class Case:
    """One kernel at one shape.

    `inputs(draw)` gives every argument of the call by name, results left out; buffers that the kernel updates in
    place are among them. `reference(**inputs)` gives the expected value of each output by name. `exact`: on small
    integers the kernel's arithmetic is exact, so every execution must agree with the reference bit for bit;
    otherwise, and on random inputs, within `rtol` and `atol`, and as a whole within `whole` where that is given (see
    `dissimilarity`): for results of few bits, of which one step is a large part of an element.
    """

    name: str
    kernel: TileKernel
    inputs: Callable[[Draw], Inputs]
    reference: Callable[..., Mapping[str, Array]]
    exact: bool = True
    rtol: float = 1e-2
    atol: float = 1e-2
    whole: float | None = None
    static: Mapping[str, object] = field(default_factory=dict)
    targets: tuple[str, ...] = ("sm_80", "sm_89", "sm_90a")

    def shapes(self) -> dict[str, TensorSpec]:
        """What constant style binds its sizes from; nothing in closure style."""
        if not self.kernel.signature.constant_style:
            return {}
        tensors = {name: as_tensor(value) for name, value in self.inputs(Draw()).items()}
        return {name: TensorSpec(t.shape, t.dtype, t.strides) for name, t in tensors.items() if t is not None}

    def compiled(self, target: str = "sm_80") -> CompiledKernel:
        """The kernel for `target`; in constant style its sizes are bound from the inputs' shapes."""
        return self.kernel.compile(self.shapes(), target=target, **self.static)


class Mismatch(AssertionError):
    """An output differs from its reference; the message has the first differing element and how many differ."""


def dissimilarity(actual: Array, expected: Array) -> float:
    """1 - 2 <x, y> / (<x, x> + <y, y>): 0 for equal arrays, 1 for orthogonal ones; half of the relative squared error
    of a small one."""
    x, y = (a.astype(np.float64).ravel() for a in (actual, expected))
    norms = float(x @ x + y @ y)
    return 1 - 2 * float(x @ y) / norms if norms else 0.0


def compare(name: str, actual: Array, expected: Array, rtol: float, atol: float, whole: float | None = None) -> None:
    """Raise Mismatch unless equal shapes, |actual - expected| <= atol + rtol * |expected| everywhere, and
    `dissimilarity` at most `whole`.

    With rtol = atol = 0 that is bit for bit, but for the sign of zero.
    """
    if actual.shape != expected.shape:
        raise Mismatch(f"'{name}' has shape {actual.shape}, expected {expected.shape}")
    if d := difference(actual, expected, rtol, atol):
        raise Mismatch(
            f"'{name}' differs in {d.count} of {d.size} elements; "
            f"first at {list(d.index)}: {d.actual} where {d.expected} is expected"
        )
    if whole is not None and not (apart := dissimilarity(actual, expected)) <= whole:
        raise Mismatch(f"'{name}' as a whole differs by {apart:.3g}, more than {whole:.3g}")


def run_case(
    case: Case, inputs: Inputs, backend: Backend | str | None, target: str = "sm_80", **how: Any
) -> dict[str, Array]:
    """Run on copies of `inputs`; every tensor by name afterwards, results included."""
    return run_lowered(case.compiled(target).lowered, inputs, backend, **how)


def run_lowered(lowered: Lowered, inputs: Inputs, backend: Backend | str | None, **how: Any) -> dict[str, Array]:
    """The same for a compiled kernel. Results hold all ones bits before. `how` goes to the executions on the CPU."""
    from tiledsl.backends import choose

    return run_once(lowered, inputs, choose(None, backend), **how)
