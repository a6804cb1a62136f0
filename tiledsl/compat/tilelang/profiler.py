"""`kernel.get_profiler()`: a kernel compared with a reference, and measured."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiledsl.checking.compare import difference
from tiledsl.compat.tilelang.errors import refused
from tiledsl.compat.tilelang.kernel import JITKernel, results_of
from tiledsl.compat.tilelang.supply import TensorSupplyType, get_tensor_supply
from tiledsl.profiling import Plan, Profile
from tiledsl.profiling import do_bench as _do_bench
from tiledsl.runtime.arguments import as_array, as_tensor
from tiledsl.settings import logger
from tiledsl.testing.case import Mismatch

_KINDS: dict[str, Callable[[Profile], float]] = {
    "mean": lambda p: p.mean,
    "median": lambda p: p.ms,
    "min": lambda p: p.min,
    "max": lambda p: p.max,
}


@dataclass
class Profiler:
    """Runs a kernel on inputs of a kind, made anew each time, or on those that are given.

    A reference is called with copies of the inputs. It returns one result for each of the kernel's; for a kernel
    without out_idx one for each tensor that it writes, or nothing after writing its arguments itself.
    """

    kernel: JITKernel
    supply_type: TensorSupplyType = TensorSupplyType.Auto

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.kernel(*args, **kwargs)

    func = property(lambda self: self.kernel)

    def _get_inputs(self, with_output: bool = False) -> list[Any]:
        supply = get_tensor_supply(self.supply_type)
        return [supply(p) for p in self.kernel.params if with_output or p.result is None]

    # ------------------------------------------------------------------------------------------------- correctness

    def assert_allclose(
        self,
        reference_program: Callable[..., Any],
        input_tensors: Sequence[Any] | None = None,
        atol: float = 1e-2,
        rtol: float = 1e-2,
        max_mismatched_ratio: float = 0.01,
    ) -> None:
        """Raises Mismatch, an AssertionError, if more than that share of the elements of a result is further away than
        `atol + rtol * |expected|`. Raises TileError TD0643, TD0644."""
        for name, found, expected in self._pairs(reference_program, input_tensors):
            torch_assert_close(found, expected, rtol, atol, max_mismatched_ratio, base_name=name)

    def manual_assert_close(
        self,
        reference_program: Callable[..., Any],
        input_tensors: Sequence[Any] | None = None,
        manual_check_prog: Callable[..., Any] | None = None,
    ) -> None:
        """Calls `manual_check_prog` with the results of the kernel and those of the reference."""
        pairs = self._pairs(reference_program, input_tensors)
        if manual_check_prog is not None:
            manual_check_prog([found for _, found, _ in pairs], [expected for _, _, expected in pairs])

    def assert_consistent(self, repeat: int = 10) -> None:
        """Raises Mismatch if one of `repeat` further runs on the same inputs gives other bits."""
        inputs = self._get_inputs()
        first = self._outcome(copied(inputs))
        for _ in range(repeat):
            for (name, expected), (_, found) in zip(first, self._outcome(copied(inputs))):
                torch_assert_close(found, expected, 0.0, 0.0, 0.0, base_name=name)

    def run_once(self, func: Callable[..., Any] | None = None) -> Any:
        """Calls the kernel, or `func`, on inputs."""
        return (func or self.kernel)(*self._get_inputs())

    def _outcome(self, inputs: list[Any]) -> list[tuple[str, Any]]:
        """Names and values of what the kernel gives: its results, or without results what it writes."""
        returned = results_of(self.kernel(*inputs))
        params = self.kernel.params
        if returned:
            return [(params[i].name, value) for i, value in zip(self.kernel.out_idx, returned)]
        return [(p.name, value) for p, value in zip(params, inputs) if p.written]

    def _pairs(self, reference: Callable[..., Any], given: Sequence[Any] | None) -> list[tuple[str, Any, Any]]:
        inputs = self._get_inputs() if given is None else list(given)
        for_reference = copied(inputs)
        expected = results_of(reference(*for_reference))
        found = self._outcome(copied(inputs))
        if not expected and not self.kernel.out_idx:
            expected = [value for p, value in zip(self.kernel.params, for_reference) if p.written]
        if len(expected) != len(found):
            raise refused("TD0644", given=len(expected), wanted=len(found))
        return [(name, value, wanted) for (name, value), wanted in zip(found, expected)]

    # --------------------------------------------------------------------------------------------------- measuring

    def do_bench(
        self,
        func: Callable[..., Any] | None = None,
        warmup: float = 25,
        rep: float = 100,
        n_warmup: int = 0,
        n_repeat: int = 0,
        input_tensors: Sequence[Any] | None = None,
        backend: str = "event",
        quantiles: Sequence[float] | None = None,
        return_mode: str = "mean",
        dynamic_symbolic_constraints: dict[str, int] | None = None,
    ) -> Any:
        """Milliseconds of a call of the kernel, or of `func`, on inputs; without a GPU those of the simulation, and the
        log says so.

        warmup, rep: milliseconds; n_warmup, n_repeat: how often instead. quantiles: a list of these samples is the
        result. return_mode: mean, median, min or max. backend: "event" and "cupti" measure alike, "cudagraph" launches
        from a graph.
        """
        plan: dict[str, Any] = {
            "warmup": warmup,
            "rep": rep,
            "n_warmup": n_warmup or None,
            "n_repeat": n_repeat or None,
        }
        inputs = self._get_inputs() if input_tensors is None else list(input_tensors)
        if func is None or func is self.kernel:
            profile = self.kernel.compiled.profile(*inputs, plan=Plan(**plan, graph=backend == "cudagraph" or None))
        else:
            called = func
            profile = _do_bench(lambda: called(*inputs), name=getattr(func, "__name__", None), **plan)
        return _said(profile, quantiles, return_mode)


def do_bench(
    fn: Callable[[], Any],
    warmup: float = 25,
    rep: float = 100,
    _n_warmup: int = 0,
    _n_repeat: int = 0,
    quantiles: Sequence[float] | None = None,
    fast_flush: bool = True,
    backend: str = "event",
    return_mode: str = "mean",
) -> Any:
    """Milliseconds of a call of `fn`: see `Profiler.do_bench`."""
    profile = _do_bench(fn, warmup=warmup, rep=rep, n_warmup=_n_warmup or None, n_repeat=_n_repeat or None)
    return _said(profile, quantiles, return_mode)


def _said(profile: Profile, quantiles: Sequence[float] | None, return_mode: str) -> Any:
    if return_mode not in _KINDS:
        raise refused("TD0641", what="return_mode", given=repr(return_mode), known=", ".join(_KINDS))
    if not profile.on_gpu:
        logger().warning("do_bench of %s on %s: %s", profile.name, profile.device, profile.timed)
    return list(profile.quantiles(quantiles)) if quantiles else _KINDS[return_mode](profile)


# ------------------------------------------------------------------------------------------------------- comparing


def torch_assert_close(
    tensor_a: Any,
    tensor_b: Any,
    rtol: float = 1e-2,
    atol: float = 1e-3,
    max_mismatched_ratio: float = 0.001,
    verbose: bool = False,
    base_name: str = "LHS",
    ref_name: str = "RHS",
) -> bool:
    """True; raises Mismatch, an AssertionError, if more than that share of the elements of `tensor_a` is further from
    `tensor_b` than `atol + rtol * |b|`. Tensors are those of torch, NumPy, or DLPack."""
    a, b = on_host(tensor_a), on_host(tensor_b)
    if a.shape != b.shape:
        raise Mismatch(f"{base_name} has the shape {a.shape}, {ref_name} {b.shape}")
    found = difference(*_alike(a, b), rtol, atol)
    if verbose:
        print(f"{base_name}: {0 if found is None else found.count} of {a.size} elements differ from {ref_name}")
    if found is not None and found.count > max_mismatched_ratio * found.size:
        raise Mismatch(f"{base_name}: {found}, with rtol={rtol} and atol={atol}; allowed {max_mismatched_ratio:.2%}")
    return True


def on_host(value: Any) -> np.ndarray[Any, Any]:
    """A tensor of any library as an array."""
    local = value.detach().cpu() if hasattr(value, "detach") else value
    tensor = as_tensor(local.get() if hasattr(local, "__cuda_array_interface__") else local)
    return np.asarray(value) if tensor is None else as_array(tensor)


def _alike(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Both as floats where one is: a reference need not have the dtype of the result."""
    if (a.dtype.kind in "iub") == (b.dtype.kind in "iub"):
        return a, b
    return a.astype(np.float64), b.astype(np.float64)


def copied(values: Sequence[Any]) -> list[Any]:
    """Copies of tensors; numbers are what they are."""

    def one(value: Any) -> Any:
        if hasattr(value, "detach"):
            return value.detach().clone()
        return value.copy() if hasattr(value, "copy") else copy.deepcopy(value)

    return [one(v) for v in values]
