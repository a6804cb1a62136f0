"""`@tiledsl.autotune`: a kernel, or a function that makes kernels, that finds its best configuration when called."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from tiledsl import __version__
from tiledsl.compile import Lowered
from tiledsl.decorator import TileKernel
from tiledsl.errors import TileError, error
from tiledsl.profiling import Plan
from tiledsl.settings import logger, setting
from tiledsl.target import Target
from tiledsl.tuning import keep
from tiledsl.tuning.candidates import code_of
from tiledsl.tuning.objective import Objective, default_objective
from tiledsl.tuning.result import TuningResult, shown
from tiledsl.tuning.search import Options, Problem, search
from tiledsl.tuning.space import Config, Given, configurations
from tiledsl.tuning.subject import FactoryCall, KernelCall, Subject, described, source_of
from tiledsl.tuning.verify import Tolerance

_RUN = ("stream", "backend")  # of a call, not of a kernel


@dataclass
class Autotuned:
    """What `@tiledsl.autotune` makes. Called like what it decorates; a configuration that is named is taken.

    `tune(...)` gives the TuningResult for such a call, `best(...)` the kernel; both remember.
    """

    fn: Any
    configs: Given
    options: Options
    plan: Plan = field(default_factory=Plan)
    inputs: Any = None
    target: str | None = None
    gpu: str | None = None
    verify: str | None = None
    key: Callable[..., object] | None = None
    objective: Objective | None = None
    _found: dict[str, TuningResult] = field(default_factory=dict, repr=False)
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.fn, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A kernel is run with its best configuration; of a function that makes kernels the best kernel is returned."""
        run = {n: kwargs[n] for n in _RUN if n in kwargs} if isinstance(self.fn, TileKernel) else {}
        rest = {n: v for n, v in kwargs.items() if n not in run}
        subject = self._subject(args, rest)
        configs = configurations(self.configs, subject.arguments, subject.parameters)
        if any(name in subject.arguments for config in configs for name in config):
            return self.fn(*args, **kwargs)
        if isinstance(self.fn, TileKernel):
            return self.fn(*args, **{**kwargs, **self._config(subject, configs)})
        return self._best(subject, configs)

    def tune(self, *args: Any, **kwargs: Any) -> TuningResult:
        """What was found for a call with these arguments: now, or before by any process with this hardware.

        Raises TileError TD0670 to TD0677.
        """
        subject = self._subject(args, kwargs)
        return self._result(subject, configurations(self.configs, subject.arguments, subject.parameters))

    def best(self, *args: Any, **kwargs: Any) -> Any:
        """The kernel with the best configuration for a call with these arguments."""
        subject = self._subject(args, kwargs)
        return self._best(subject, configurations(self.configs, subject.arguments, subject.parameters))

    # ---- helpers

    def _subject(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Subject:
        if isinstance(self.fn, TileKernel):
            return KernelCall(self.fn, args, kwargs)
        return FactoryCall(self.fn, args, kwargs, self.inputs)

    def _config(self, subject: Subject, configs: tuple[Config, ...]) -> Mapping[str, object]:
        if setting("TILEDSL_TUNE") == "off":
            return self._first(subject, configs)
        return self._result(subject, configs).config

    def _best(self, subject: Subject, configs: tuple[Config, ...]) -> Any:
        config = self._config(subject, configs)
        key = f"{self._call(subject)} {shown(config)}"
        if key not in self._made:
            self._made[key] = subject.made(config, subject.target(self.target, configs[0]))[0]
        return self._made[key]

    def _first(self, subject: Subject, configs: tuple[Config, ...]) -> Mapping[str, object]:
        """The first configuration that compiles, where TILEDSL_TUNE=off."""
        target = subject.target(self.target, configs[0])
        problem: TileError | None = None
        for config in configs:
            try:
                subject.made(config, target)
            except TileError as said:
                problem = problem or said
                continue
            logger().warning("TILEDSL_TUNE=off: '%s' with %s, untuned", subject.name, shown(config))
            return config
        assert problem is not None
        raise problem

    def _call(self, subject: Subject) -> object:
        """What tells calls apart: all arguments, or what `key` makes of them."""
        if self.key is not None:
            return repr(self.key(**subject.arguments))
        return {name: described(value) for name, value in sorted(subject.arguments.items())}

    def _result(self, subject: Subject, configs: tuple[Config, ...]) -> TuningResult:
        target = subject.target(self.target, configs[0])
        objective = self.objective or default_objective(target, self.plan, self.gpu, self.verify)
        about = self._about(subject, configs, target, objective)
        key = keep.key_of(about)
        if key not in self._found:
            portable = "0x" not in str(about["arguments"])  # of an object that has only an address
            found = keep.find_result(about) if self.options.cache and portable else None
            if found is not None:
                found = found.with_configs(configs)
            if found is None or not self._still(found, subject, target):
                _require_no_capture(subject.name)
                problem = Problem(
                    subject.name,
                    configs,
                    lambda config: subject.made(config, target)[1],
                    lambda lowered: subject.given(lowered, self.inputs),
                    about,
                )
                found = search(problem, objective, self.options)
                if self.options.cache and portable:
                    keep.keep_result(found)
            logger().info("%s", found)
            self._found[key] = found
        return self._found[key]

    def _still(self, found: TuningResult, subject: Subject, target: Target) -> bool:
        """Whether the best configuration still gives the code that was measured: helpers may have changed."""
        try:
            lowered: Lowered = subject.made(found.config, target)[1].lowered
        except TileError:
            return False
        return code_of(lowered) == found.best.code

    def _about(
        self, subject: Subject, configs: tuple[Config, ...], target: Target, objective: Objective
    ) -> dict[str, Any]:
        ref = self.options.ref
        return {
            **{"kernel": subject.name, "source": source_of(self.fn), "arguments": self._call(subject)},
            **{"configs": [repr(sorted(c.items())) for c in configs], "ref": source_of(ref) if ref else ""},
            **{"tolerance": repr(self.options.tolerance), "target": target.name, "objective": objective.what},
            **{"hardware": dict(objective.depends_on()), "verified": objective.backend, "tiledsl": __version__},
        }


def _require_no_capture(name: str) -> None:
    """Raises TileError TD0678 where the caller captures a CUDA graph: a search synchronises, and takes its time."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        raise error("TD0678", name=name)


def autotune(
    *,
    configs: Given,
    ref: Callable[..., Any] | None = None,
    inputs: Any = None,
    rtol: float | None = None,
    atol: float | None = None,
    mismatched: float = 0.0,
    warmup: float = 25.0,
    rep: float = 100.0,
    timeout: float = 100.0,
    key: Callable[..., object] | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
    cache: bool = True,
    target: str | None = None,
    gpu: str | None = None,
    verify: str | None = None,
    objective: Objective | None = None,
) -> Callable[[Any], Autotuned]:
    """Find the best configuration of a kernel, or of a function that makes one, for the arguments of a call.

        @tiledsl.autotune(configs={"block": [64, 128], "threads": [128, 256]}, ref=lambda A: 2 * A)
        @tiledsl.kernel(out_idx=-1)
        def twice(A: T.Tensor((N,), T.float32), B: T.Tensor((N,), T.float32), block: int, threads: int): ...

    configs: a list of dicts, a dict of lists for all combinations, or a function of the call's arguments.
    ref: what must come out, called with the inputs as in `tiledsl.testing.check`; None: what the tiles mean in NumPy.
    inputs: of a function that makes kernels: arrays by name, or a function of a `Draw`; None: small integers.
    rtol, atol, mismatched: the tolerance (by default that of the dtype), and the share of elements that may miss it.
    warmup, rep: milliseconds of each measurement. timeout: seconds that verifying, and measuring, may take each.
    key: of calls with the same `key(**arguments)` the first is tuned; by default each shape is another call.
    executor: compiles; any of `concurrent.futures`, also of a cluster. Default: a thread for each core.
    progress: show a bar; None: on a terminal. cache: keep results on disk.
    target, gpu: what to compile for, and the product for the estimate where that GPU is not at hand.
    verify: the backend that candidates are verified on: cuda, cpu, simt, tile. Default: the GPU, or the CPU device.
    objective: what is minimised. Default: the time on the GPU at hand; without one a static estimate, and it says so.
    """
    options = Options(ref, Tolerance(rtol, atol, mismatched), timeout, executor, progress, cache)

    def decorate(fn: Any) -> Autotuned:
        if not callable(fn):
            raise error("TD0677", name="@tiledsl.autotune", given=type(fn).__name__)
        return Autotuned(fn, configs, options, Plan(warmup, rep), inputs, target, gpu, verify, key, objective)

    return decorate
