"""`tilelang.autotune` and `AutoTuner`, over `tiledsl.tuning`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tiledsl.compat.tilelang.errors import refused
from tiledsl.compat.tilelang.jit import JITImpl, jit
from tiledsl.compat.tilelang.kernel import JITKernel, results_of
from tiledsl.compat.tilelang.options import ignored
from tiledsl.compat.tilelang.primfunc import PrimFunc
from tiledsl.compat.tilelang.profiler import on_host
from tiledsl.compat.tilelang.supply import KernelParam, TensorSupplyType, argument, as_library
from tiledsl.runtime.arguments import as_tensor
from tiledsl.settings import setting
from tiledsl.tuning import Autotuned, TuningResult
from tiledsl.tuning import autotune as tune
from tiledsl.tuning.space import configurations

Configs = Any  # a list of dicts, a dict of lists, or a function of the call's arguments


@dataclass(frozen=True)
class Reference:
    """A reference of the user's, called with tensors of the library that the program uses."""

    fn: Callable[..., Any]

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        made = [as_library(a) if isinstance(a, np.ndarray) else a for a in arrays]
        return tuple(on_host(value) for value in results_of(self.fn(*made)))


@dataclass(frozen=True)
class ProfileArgs:
    """How candidates are verified and measured."""

    warmup: float = 25
    rep: float = 100
    timeout: float = 100
    supply_type: TensorSupplyType = TensorSupplyType.Auto
    ref_prog: Callable[..., Any] | None = None
    supply_prog: Callable[..., Any] | None = None
    rtol: float = 1e-2
    atol: float = 1e-2
    max_mismatched_ratio: float = 0.01


class Autotuner:
    """What `@tilelang.autotune` makes of what `@tilelang.jit` made; called like it. `tune(...)` gives the TuningResult.

    A call that names a parameter of the configurations takes what it says, and nothing is searched.
    """

    def __init__(self, impl: JITImpl, configs: Configs, how: ProfileArgs) -> None:
        functools.update_wrapper(self, impl.fn)
        self.jit_impl, self.configs, self.how = impl, configs, how
        subject: Any = impl.kernel
        if subject is None:
            # The search reads signature and text of the function, and wants tiledsl's kernels from it.
            def subject(*args: Any, **kwargs: Any) -> Any:
                return impl.request.of(impl.get_tir(*args, **kwargs))

            functools.update_wrapper(subject, impl.fn)
        ref = None if how.ref_prog is None else Reference(how.ref_prog)
        options: dict[str, Any] = {
            **{"rtol": how.rtol, "atol": how.atol, "mismatched": how.max_mismatched_ratio},
            **{"warmup": how.warmup, "rep": how.rep, "timeout": how.timeout},
            "verify": setting("TILEDSL_BACKEND") or None,  # where calls run
        }
        target = impl.request.how.target
        self.tuned: Autotuned = tune(configs=configs, ref=ref, target=target, **options)(subject)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.jit_impl.kernel is not None:
            return self.tuned(*args, **kwargs)
        given = inspect.signature(self.jit_impl.fn).bind_partial(*args, **kwargs).arguments
        found = configurations(self.configs, given, self.jit_impl.signature.parameters)
        if any(name in given for config in found for name in config):
            return self.jit_impl(*args, **kwargs)
        result = self.tune(*args, **kwargs)
        kernel: JITKernel = self.jit_impl(*args, **{**kwargs, **result.config})
        return replace(kernel, config=dict(result.config), latency=result.best.ms)

    def tune(self, *args: Any, **kwargs: Any) -> TuningResult:
        """What was found for a call with these arguments; `print` shows all configurations."""
        if self.jit_impl.kernel is not None:
            return self.tuned.tune(*args, **kwargs)
        return replace(self.tuned, inputs=lambda: self._inputs(args, kwargs)).tune(*args, **kwargs)

    def _inputs(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """The inputs of the candidates, on the host: they have the shapes of any of them."""
        given = inspect.signature(self.jit_impl.fn).bind_partial(*args, **kwargs).arguments
        config = configurations(self.configs, given, self.jit_impl.signature.parameters)[0]
        func = self.jit_impl.get_tir(*args, **{**kwargs, **config})
        params = _params(self.jit_impl, func)
        if self.how.supply_prog is not None:
            return [on_host(v) if as_tensor(v) is not None else v for v in self.how.supply_prog(params)]
        rng = np.random.default_rng(0)
        return [argument(rng, p, self.how.supply_type) for p in params]


def _params(impl: JITImpl, func: PrimFunc) -> list[KernelParam]:
    """The parameters of a kernel that are given in a call, without compiling it."""
    kernel = impl.request.of(func).trace()
    results = {b.name for b in kernel.results}
    found = []
    for p in kernel.params:
        shape = tuple(e if isinstance(e, int) else str(getattr(e, "name", e)) for e in getattr(p, "shape", ()))
        if p.name not in results:
            found.append(KernelParam(p.name, p.dtype.name, shape, hasattr(p, "shape")))
    return found


def autotune(
    func: Any = None,
    *,
    configs: Configs,
    warmup: float = 25,
    rep: float = 100,
    timeout: float = 100,
    supply_type: TensorSupplyType = TensorSupplyType.Auto,
    ref_prog: Callable[..., Any] | None = None,
    supply_prog: Callable[..., Any] | None = None,
    rtol: float = 1e-2,
    atol: float = 1e-2,
    max_mismatched_ratio: float = 0.01,
    skip_check: bool = False,
    manual_check_prog: Callable[..., Any] | None = None,
    cache_input_tensors: bool = False,
) -> Any:
    """Decorates what `@tilelang.jit` made: a call finds the best of `configs`, which name parameters of the function.

    configs: a list of dicts, a dict of lists for all combinations, or a function of the call's arguments.
    ref_prog: the reference, called with the inputs; None: what the tiles mean in NumPy. Each candidate is verified
    before it is measured, so `skip_check` and `manual_check_prog` are ignored. supply_prog: called with the parameters,
    gives the inputs; supply_type: their kind. warmup, rep: milliseconds; timeout: seconds a candidate.
    Without a GPU candidates are ranked by an estimate; see docs/tuning.md. Raises TileError TD0642, TD0670 to TD0678.
    """
    ignored("option of autotune", {"skip_check": skip_check, "manual_check_prog": manual_check_prog})
    how = ProfileArgs(
        *(warmup, rep, timeout, supply_type, ref_prog, supply_prog),
        *(rtol, atol, max_mismatched_ratio),
    )

    def decorate(given: Any) -> Autotuner:
        if not isinstance(given, JITImpl):
            raise refused("TD0642", name=getattr(given, "__name__", "autotune"), given=type(given).__name__)
        return Autotuner(given, configs, how)

    return decorate(func) if func is not None else decorate


@dataclass(frozen=True)
class AutotuneResult:
    """The best kernel with its configuration, and milliseconds: measured, or estimated where there is no GPU."""

    kernel: JITKernel
    config: Mapping[str, Any]
    latency: float
    result: TuningResult
    ref_latency: float | None = None


class AutoTuner:
    """`AutoTuner.from_kernel(kernel=f, configs=...).set_compile_args(...).set_profile_args(...).run()`."""

    def __init__(self, fn: Callable[..., Any], configs: Configs) -> None:
        self.fn, self.configs = fn, configs
        self._compile: dict[str, Any] = {}
        self._profile: dict[str, Any] = {}

    @classmethod
    def from_kernel(cls, kernel: Callable[..., Any], configs: Configs) -> AutoTuner:
        """Of a function that returns a T.prim_func, whose parameters are those of the configurations."""
        return cls(kernel, configs)

    def set_compile_args(self, **options: Any) -> AutoTuner:
        """The arguments of `tilelang.jit`."""
        self._compile = options
        return self

    def set_profile_args(self, **options: Any) -> AutoTuner:
        """The arguments of `tilelang.autotune`."""
        self._profile = options
        return self

    def run(self, warmup: float = 25, rep: float = 100, timeout: float = 100) -> AutotuneResult:
        """Searches. Raises TileError TD0670 to TD0678."""
        times = {"warmup": warmup, "rep": rep, "timeout": timeout}
        impl = self.fn if isinstance(self.fn, JITImpl) else jit(self.fn, **self._compile)
        tuner: Autotuner = autotune(impl, configs=self.configs, **{**times, **self._profile})
        result = tuner.tune()
        kernel = impl(**result.config)
        config, latency = dict(result.config), result.best.ms or 0.0
        return AutotuneResult(replace(kernel, config=config, latency=latency), config, latency, result)
