"""A kernel with inputs and a NumPy reference: what examples declare and tests run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.runtime.arguments import as_tensor

if TYPE_CHECKING:
    from tiledsl.backends import Backend
    from tiledsl.decorator import CompiledKernel, TileKernel

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
    otherwise, and on random inputs, within `rtol` and `atol`.
    """

    name: str
    kernel: TileKernel
    inputs: Callable[[Draw], Inputs]
    reference: Callable[..., Mapping[str, Array]]
    exact: bool = True
    rtol: float = 1e-2
    atol: float = 1e-2
    static: Mapping[str, object] = field(default_factory=dict)
    targets: tuple[str, ...] = ("sm_80", "sm_89", "sm_90a")

    def compiled(self, target: str = "sm_80") -> CompiledKernel:
        """The kernel for `target`; in constant style its sizes are bound from the inputs' shapes."""
        tensors = {}
        if self.kernel.signature.constant_style:
            from tiledsl.frontend.trace import TensorSpec

            for name, value in self.inputs(Draw()).items():
                t = as_tensor(value)
                if t is not None:
                    tensors[name] = TensorSpec(t.shape, t.dtype, t.strides)
        return self.kernel.compile(tensors, target=target, **self.static)


def poison(array: Array) -> None:
    """Fill with all ones bits: NaN in every float format, -1 in integers."""
    array.view(np.uint8)[...] = 0xFF


class Mismatch(AssertionError):
    """An output differs from its reference; the message has the first differing element and how many differ."""


def compare(name: str, actual: Array, expected: Array, rtol: float, atol: float) -> None:
    """Raise Mismatch unless equal shapes and |actual - expected| <= atol + rtol * |expected| everywhere.

    With rtol = atol = 0 that is bit for bit, but for the sign of zero.
    """
    if actual.shape != expected.shape:
        raise Mismatch(f"'{name}' has shape {actual.shape}, expected {expected.shape}")
    a, e = (x.astype(np.float64) if x.dtype.kind not in "iub" else x.astype(object) for x in (actual, expected))
    with np.errstate(invalid="ignore"):
        same = a == e
        if a.dtype == np.float64:
            same |= np.isnan(a) & np.isnan(e)
            same |= np.abs(a - e) <= atol + rtol * np.abs(e)
    if not np.all(same):
        wrong = np.argwhere(~same)
        first = tuple(int(i) for i in wrong[0])
        raise Mismatch(
            f"'{name}' differs in {len(wrong)} of {actual.size} elements; "
            f"first at {list(first)}: {actual[first]} where {expected[first]} is expected"
        )


def copy_of(array: Array) -> Array:
    """A copy with the same strides, which a kernel may demand."""
    if array.flags.c_contiguous or any(stride < 0 for stride in array.strides):
        return array.copy()
    reach = sum((n - 1) * stride for n, stride in zip(array.shape, array.strides)) // array.itemsize
    storage = np.empty(reach + 1 if array.size else 0, array.dtype)
    copied = np.lib.stride_tricks.as_strided(storage, array.shape, array.strides)
    copied[...] = array
    return copied


def run_case(
    case: Case, inputs: Inputs, backend: Backend | str | None, target: str = "sm_80", **how: Any
) -> dict[str, Array]:
    """Run on copies of `inputs`; every tensor by name afterwards, results included."""
    from tiledsl.backends import Backend, choose, run_on_cpu
    from tiledsl.runtime.arguments import as_array, bind
    from tiledsl.runtime.driver import find_driver

    lowered = case.compiled(target).lowered
    copies = {n: copy_of(v) if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    bound = bind(lowered.signature, (), copies)
    for name in bound.results:
        poison(as_array(bound.tensors[name]))
    chosen = choose(bound, backend)
    if chosen is Backend.CUDA:
        driver = find_driver()
        assert driver is not None
        lowered.program.launch(driver, bound)
    else:
        run_on_cpu(lowered, bound, chosen, **how)
    return {n: as_array(t) for n, t in bound.tensors.items()}


def check(
    case: Case, *, backends: tuple[str, ...] = ("tile", "simt", "cpu"), seed: int = 0, target: str = "sm_80"
) -> None:
    """Exact inputs bit for bit where the case is exact, then random ones within its tolerance, on each backend.

    Raises Mismatch or TileError.
    """
    for exact in (True, False):
        inputs = case.inputs(Draw(seed, exact))
        expected = case.reference(**inputs)
        bitwise = exact and case.exact
        for backend in backends:
            actual = run_case(case, inputs, backend, target)
            for name, value in expected.items():
                rtol, atol = (0.0, 0.0) if bitwise else (case.rtol, case.atol)
                compare(f"{case.name}/{backend}/{name}", actual[name], value, rtol, atol)
