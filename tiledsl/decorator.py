"""`@tiledsl.kernel`: specialise a Python function by its compile-time parameters, compile it, call it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import TYPE_CHECKING, Any, overload

from tiledsl.errors import error
from tiledsl.frontend.signature import Kind, Signature, signature_of
from tiledsl.frontend.trace import TensorSpec, trace_kernel
from tiledsl.ir import nodes
from tiledsl.settings import setting
from tiledsl.target import DEFAULT_TARGET, Target, target_named

if TYPE_CHECKING:
    from tiledsl.backends import Backend
    from tiledsl.compile import Lowered
    from tiledsl.report import Report

log = logging.getLogger("tiledsl")
Options = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class CompiledKernel:
    """One specialisation for one target. Callable with the tensors and run-time scalars.

    `ir(after=...)` gives IR text, `source` the CUDA C++, `ptx` and `cubin` what NVRTC made of it, `report()` the
    resources it uses.
    """

    lowered: Lowered
    backend: str | None = None

    @property
    def name(self) -> str:
        return self.lowered.final.name

    @property
    def target(self) -> Target:
        return self.lowered.target

    @property
    def source(self) -> str:
        return self.lowered.cuda

    @property
    def ptx(self) -> str:
        return self.lowered.compiled.ptx

    @property
    def cubin(self) -> bytes:
        return self.lowered.compiled.cubin

    def ir(self, after: str | None = None) -> str:
        """IR text after the named pass; by default after the last. "trace" is what the frontend gave."""
        from tiledsl.ir.printer import text

        return text(self.lowered.after(after) if after else self.lowered.final)

    def report(self) -> Report:
        """Registers, spills, shared memory, occupancy, bank conflicts: no GPU needed."""
        from tiledsl.report import report

        return report(self.lowered)

    def __call__(self, *args: Any, stream: Any = None, backend: str | Backend | None = None, **kwargs: Any) -> Any:
        """Run on the arguments' device, or on the CPU where there is no GPU.

        Returns the results that were not passed: None, one tensor, or a tuple. Raises TileError TD06xx for arguments
        that do not fit.
        """
        from tiledsl.backends import run

        return run(self.lowered, args, kwargs, stream=stream, backend=backend or self.backend)


@dataclass
class TileKernel:
    """What `@tiledsl.kernel` makes of a function. Specialisations are compiled once and kept."""

    fn: FunctionType
    target: str | None = None
    out_idx: tuple[int, ...] = ()
    options: Options = field(default_factory=dict)
    backend: str | None = None
    fast_math: bool = False
    _compiled: dict[Any, CompiledKernel] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.fn)
        # Now, while the enclosing function runs: names that occur only in string annotations are in no closure.
        self.signature: Signature = signature_of(self.fn)

    def trace(self, tensors: Mapping[str, TensorSpec] | None = None, **static: object) -> nodes.Kernel:
        """The tile-stage IR of one specialisation. `tensors` binds `T.const` sizes (constant style only)."""
        kernel = trace_kernel(self.fn, self._static(static), tensors or {})
        return replace(kernel, results=self._results(kernel)) if self.out_idx else kernel

    def compile(
        self, tensors: Mapping[str, TensorSpec] | None = None, *, target: str | None = None, **static: object
    ) -> CompiledKernel:
        """Compile for `target` without running; sizes of constant style come from `tensors` or by name in `static`."""
        return self._specialise(tensors or {}, static, target)

    def _specialise(
        self, tensors: Mapping[str, TensorSpec], static: Mapping[str, object], target: str | None
    ) -> CompiledKernel:
        from tiledsl.compile import lower

        chosen = self._target(target)
        key = (chosen.name, _key(self._static(static)), _key(tensors))
        if key not in self._compiled:
            kernel = self.trace(tensors, **static)
            lowered = lower(kernel, chosen, self.options, fast_math=self.fast_math)
            self._compiled[key] = CompiledKernel(lowered, self.backend)
        return self._compiled[key]

    def __call__(self, *args: Any, stream: Any = None, backend: str | Backend | None = None, **kwargs: Any) -> Any:
        """Specialise on the compile-time arguments (and shapes, in constant style), then run."""
        static, rest, named = self._split(args, kwargs)
        tensors = self._shapes(rest, named) if self.signature.constant_style else {}
        return self._specialise(tensors, static, None)(*rest, stream=stream, backend=backend, **named)

    # ---- helpers

    def _target(self, named: str | None) -> Target:
        chosen = named or self.target or setting("TILEDSL_TARGET")
        if not chosen:
            from tiledsl.runtime.driver import find_driver

            driver = find_driver()
            chosen = driver.architecture(0) if driver else DEFAULT_TARGET
        return target_named(chosen)

    def _static(self, given: Mapping[str, object]) -> dict[str, object]:
        """Every compile-time parameter with its value, given or default; further names bind `T.const` sizes."""
        out: dict[str, object] = {}
        for p in self.signature.parameters:
            if p.kind is Kind.STATIC:
                if p.name not in given and not p.has_default:
                    raise error("TD0622", kernel=self.fn.__name__, name=p.name)
                out[p.name] = given.get(p.name, p.default)
        return {**out, **{n: v for n, v in given.items() if n not in out}}

    def _split(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[dict[str, object], list[Any], dict[str, Any]]:
        """Compile-time arguments by name, run-time ones by position and by name.

        As results may be left out, positional arguments are matched with the parameters that are left.
        """
        parameters = list(self.signature.parameters)
        statics = {p.name for p in parameters if p.kind is Kind.STATIC}
        given = {n: v for n, v in kwargs.items() if n in statics}
        named = {n: v for n, v in kwargs.items() if n not in statics}
        n = len(parameters)
        results = {parameters[i % n].name for i in self.out_idx if -n <= i < n}
        open_slots = [p for p in parameters if p.name not in kwargs]
        if len(args) <= len([p for p in open_slots if p.kind is not Kind.STATIC]) - len(results):
            open_slots = [p for p in open_slots if p.name not in results]
        rest: list[Any] = list(args[len(open_slots) :])
        for p, value in reversed(list(zip(open_slots, args))):
            if p.kind is Kind.STATIC:
                given[p.name] = value
            else:
                rest.insert(0, value)
        return given, rest, named

    def _shapes(self, args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, TensorSpec]:
        from tiledsl.runtime.arguments import as_tensor

        names = [p.name for p in self.signature.parameters if p.kind is not Kind.STATIC and p.name not in named]
        out: dict[str, TensorSpec] = {}
        for name, value in [*zip(names, args), *named.items()]:
            t = as_tensor(value)
            if t is not None:
                out[name] = TensorSpec(t.shape, t.dtype, t.strides)
        return out

    def _results(self, kernel: nodes.Kernel) -> tuple[nodes.Buffer, ...]:
        out: list[nodes.Buffer] = []
        for index in self.out_idx:
            n = len(kernel.params)
            chosen = kernel.params[index] if -n <= index < n else None
            if not isinstance(chosen, nodes.Buffer):
                names = ", ".join(p.name for p in kernel.params)
                raise error("TD0620", kernel=kernel.name, index=index, parameters=names)
            out.append(chosen)
        return (*kernel.results, *out)


def _key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """A hashable stand-in for compile-time values; unhashable ones count by their text."""

    def one(value: Any) -> Any:
        try:
            hash(value)
        except TypeError:
            return repr(value)
        return (type(value), value)

    return tuple((name, one(values[name])) for name in sorted(values))


@overload
def kernel(fn: Callable[..., Any], /) -> TileKernel: ...


@overload
def kernel(
    *,
    target: str | None = None,
    out_idx: int | Sequence[int] | None = None,
    options: Options | None = None,
    backend: str | None = None,
    fast_math: bool = False,
) -> Callable[[Callable[..., Any]], TileKernel]: ...


def kernel(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    target: str | None = None,
    out_idx: int | Sequence[int] | None = None,
    options: Options | None = None,
    backend: str | None = None,
    fast_math: bool = False,
) -> TileKernel | Callable[[Callable[..., Any]], TileKernel]:
    """Make a GPU kernel of a Python function over tiles; see `docs/language.md` for what it may say.

    target: GPU to compile for (sm_80, sm_90a, ...); default: TILEDSL_TARGET, the GPU at hand, sm_80.
    out_idx: positions of the tensor parameters that a call allocates and returns.
    options: typed options of passes, e.g. {"software-pipeline": {"fuse_barrier": False}}.
    backend: cuda, cpu (emitted C++ on the CPU), simt or tile (NumPy); default: TILEDSL_BACKEND, the best at hand.
    fast_math: let NVRTC use approximate division, square root and transcendental functions.
    """

    def decorate(function: Callable[..., Any]) -> TileKernel:
        if not isinstance(function, FunctionType):
            raise error("TD0623", given=type(function).__name__)
        indices = () if out_idx is None else (out_idx,) if isinstance(out_idx, int) else tuple(out_idx)
        return TileKernel(function, target, indices, dict(options or {}), backend, fast_math)

    return decorate(fn) if fn is not None else decorate
