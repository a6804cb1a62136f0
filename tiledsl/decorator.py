"""`@tiledsl.kernel`: specialise a Python function by its compile-time parameters, compile it, call it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import TYPE_CHECKING, Any, overload

from tiledsl.errors import error
from tiledsl.frontend.signature import Kind, Signature, signature_of
from tiledsl.frontend.source import span_of_code
from tiledsl.frontend.trace import TensorSpec, trace_kernel
from tiledsl.ir import nodes
from tiledsl.settings import setting
from tiledsl.target import DEFAULT_TARGET, Target, target_named

if TYPE_CHECKING:
    from tiledsl.backends import Backend
    from tiledsl.checking import CheckResult
    from tiledsl.compile import Lowered
    from tiledsl.profiling import Plan, Profile
    from tiledsl.report import Report

Options = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class CompiledKernel:
    """One specialisation for one target. Callable with the tensors and run-time scalars.

    `ir(after=...)` gives IR text, `source` the CUDA C++, `ptx` and `cubin` what NVRTC made of it, `report()` the
    resources it uses, `check(...)` what is wrong with it, `profile(...)` how long it takes, `with_source(text)` the
    same kernel with edited CUDA C++.
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

    def report(self, *, gpu: str | None = None, **sizes: int) -> Report:
        """Resources, occupancy, what accesses cost, operations, bytes and a roofline: no GPU needed.

        `sizes` gives dynamic sizes and scalars; without them figures are those of one block. `gpu` is a product with
        the kernel's target, such as "H100". Raises TileError TD0635 and TD0914 for unknown names.
        """
        from tiledsl.report import report

        return report(self.lowered, sizes, gpu)

    def with_source(self, text: str) -> CompiledKernel:
        """The kernel with the edited CUDA text `text`: `source` with changed bodies, or its kernels alone.

        It is called as before, and runs on the GPU or the CPU device. Raises TileError TD0630 where a kernel of the
        text is gone, TD0631 where its parameters or block size changed, TD0632 where the device functions did.
        """
        return replace(self, lowered=self.lowered.with_source(text))

    def check(self, *args: Any, schedules: int = 10, seed: int = 0, **kwargs: Any) -> CheckResult:
        """What is wrong with a call: races, bounds, deadlocks, results that depend on the schedule or the execution.

        Runs copies of the arguments on the CPU under `schedules` orders of threads and asynchronous copies. Without
        tensors they are made, and `kwargs` may give sizes and scalars. See `tiledsl.checking.check`.
        """
        from tiledsl.checking import check

        return check(self.lowered, args, kwargs, schedules=schedules, seed=seed)

    def profile(
        self,
        *args: Any,
        plan: Plan | None = None,
        flops: float | None = None,
        bytes: float | None = None,
        stream: Any = None,
        backend: str | Backend | None = None,
        **kwargs: Any,
    ) -> Profile:
        """How long a call with these arguments takes, which stay as they are; without tensors they are made.

        `print(kernel.profile(a, b))`, `kernel.profile(a, b, plan=Plan(rep=200, l2_flush=False)).ms`. On a GPU that is
        the time between two events, after a warm-up and with a cold L2 cache; on the CPU it is that of the simulation,
        and says so. `flops` and `bytes` of one call default to what `report()` counts. See `tiledsl.profiling`.
        """
        from tiledsl.profiling import profile

        work = {"flops": flops, "bytes": bytes}
        return profile(self.lowered, args, kwargs, plan, stream=stream, backend=backend or self.backend, **work)

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
    validate: bool | None = None
    _compiled: dict[Any, CompiledKernel] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.fn)
        # Now, while the enclosing function runs: names that occur only in string annotations are in no closure.
        self.signature: Signature = signature_of(self.fn)
        for p in self.signature.parameters:
            if p.name in _RESERVED:
                raise error("TD0627", span_of_code(self.fn.__code__), name=p.name)

    def trace(self, tensors: Mapping[str, Any] | None = None, **static: object) -> nodes.Kernel:
        """The tile-stage IR of one specialisation, before any pass; the arguments are those of `compile`."""
        kernel = trace_kernel(self.fn, self._static(static), _specs(tensors or {}))
        return replace(kernel, results=self._results(kernel)) if self.out_idx else kernel

    def compile(
        self, tensors: Mapping[str, Any] | None = None, *, target: str | None = None, **static: object
    ) -> CompiledKernel:
        """Compile for `target` without running, for the compile-time parameters `static`.

        Sizes of constant style come from `tensors` (`TensorSpec`s or tensors by name), or by name in `static`.
        """
        return self._specialise(_specs(tensors or {}), static, target)

    def _specialise(
        self,
        tensors: Mapping[str, TensorSpec],
        static: Mapping[str, object],
        target: str | None,
        inspect: Callable[[nodes.Kernel, Target], None] | None = None,
    ) -> CompiledKernel:
        from tiledsl.compile import lower

        chosen = self.target_for(target)
        key = (chosen.name, _key(self._static(static)), _key(tensors))
        if key not in self._compiled:
            kernel = self.trace(tensors, **static)
            if inspect is not None:
                inspect(kernel, chosen)
            lowered = lower(kernel, chosen, self.options, fast_math=self.fast_math, validate=self.validate)
            self._compiled[key] = CompiledKernel(lowered, self.backend)
        return self._compiled[key]

    def __call__(self, *args: Any, stream: Any = None, backend: str | Backend | None = None, **kwargs: Any) -> Any:
        """Specialise on the compile-time arguments (and shapes, in constant style), then run."""
        static, rest, named = self.split(args, kwargs)
        tensors = self._shapes(rest, named) if self.signature.constant_style else {}
        return self._specialise(tensors, static, None)(*rest, stream=stream, backend=backend, **named)

    def check(
        self, *args: Any, schedules: int = 10, seed: int = 0, target: str | None = None, **kwargs: Any
    ) -> CheckResult:
        """Specialise as a call does, then `CompiledKernel.check`.

        Without tensors they are made; then the sizes of constant style are named, `kernel.check(M=64, N=32)`.
        """
        compiled, rest, named = self.specialised(args, kwargs, target)
        return compiled.check(*rest, schedules=schedules, seed=seed, **named)

    def profile(self, *args: Any, plan: Plan | None = None, target: str | None = None, **kwargs: Any) -> Profile:
        """Specialise as a call does, then `CompiledKernel.profile`, which takes the same arguments."""
        own = {n: kwargs.pop(n) for n in ("flops", "bytes", "stream", "backend") if n in kwargs}
        compiled, rest, named = self.specialised(args, kwargs, target)
        return compiled.profile(*rest, plan=plan, **own, **named)

    def specialised(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        target: str | None = None,
        inspect: Callable[[nodes.Kernel, Target], None] | None = None,
    ) -> tuple[CompiledKernel, list[Any], dict[str, Any]]:
        """What a call with these arguments would run, and the run-time arguments, by position and by name.

        `inspect` sees what was traced, before the passes do. Without tensors the sizes of constant style are named:
        `kernel.check(M=64, N=32)`.
        """
        static, rest, named = self.split(args, kwargs)
        tensors: Mapping[str, TensorSpec] = {}
        if self.signature.constant_style and (
            rest or any(p.name in named for p in self.signature.of_kind(Kind.TENSOR))
        ):
            tensors = self._shapes(rest, named)
        elif self.signature.constant_style:
            scalars = {p.name for p in self.signature.of_kind(Kind.SCALAR)}
            static |= {n: v for n, v in named.items() if n not in scalars}
            named = {n: v for n, v in named.items() if n in scalars}
        return self._specialise(tensors, static, target, inspect), rest, named

    # ---- helpers

    def target_for(self, named: str | None) -> Target:
        """What is compiled for: `named`, else the kernel's own, TILEDSL_TARGET, the GPU at hand, sm_80."""
        chosen = named or self.target or setting("TILEDSL_TARGET")
        if not chosen:
            from tiledsl.runtime.driver import find_driver

            driver = find_driver()
            chosen = driver.architecture(0) if driver else DEFAULT_TARGET
        return target_named(chosen)

    def _static(self, given: Mapping[str, object]) -> dict[str, object]:
        """Every compile-time parameter with its value, given or default; further names bind `T.const` sizes."""
        known = [p.name for p in self.signature.of_kind(Kind.STATIC)]
        for name in given if not self.signature.constant_style else ():
            if name not in known:
                raise error("TD0628", kernel=self.fn.__name__, name=name, known=", ".join(known) or "none")
        out: dict[str, object] = {}
        for p in self.signature.parameters:
            if p.kind is Kind.STATIC:
                if p.name not in given and not p.has_default:
                    raise error("TD0622", kernel=self.fn.__name__, name=p.name)
                out[p.name] = given.get(p.name, p.default)
        return {**out, **{n: v for n, v in given.items() if n not in out}}

    def split(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[dict[str, object], list[Any], dict[str, Any]]:
        """Compile-time arguments by name, run-time ones by position and by name.

        Results may be left out: they are where there are too few arguments for them, or no tensor in the place of one.
        """
        from tiledsl.runtime.arguments import as_tensor

        parameters = list(self.signature.parameters)
        statics = {p.name for p in parameters if p.kind is Kind.STATIC}
        given = {n: v for n, v in kwargs.items() if n in statics}
        named = {n: v for n, v in kwargs.items() if n not in statics}
        passed = [p.name for p in parameters if p.kind is not Kind.STATIC]  # what out_idx counts
        n = len(passed)
        results = {passed[i % n] for i in self.out_idx if -n <= i < n}
        open_slots = [p for p in parameters if p.name not in kwargs]
        few = len(args) <= len([p for p in open_slots if p.kind is not Kind.STATIC]) - len(results)
        if few or any(p.name in results and as_tensor(value) is None for p, value in zip(open_slots, args)):
            open_slots = [p for p in open_slots if p.name not in results]
        rest: list[Any] = list(args[len(open_slots) :])
        for p, value in reversed(list(zip(open_slots, args))):
            if p.kind is Kind.STATIC:
                given[p.name] = value
            else:
                rest.insert(0, value)
        return given, rest, named

    def _shapes(self, args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, TensorSpec]:
        """The tensors of a call by name. Raises TileError TD0603 and TD0606 where one is missing or none."""
        passed = [p for p in self.signature.parameters if p.kind is not Kind.STATIC]
        given = {**dict(zip([p.name for p in passed if p.name not in named], args)), **named}
        wanted = [p.name for p in passed if p.kind is Kind.TENSOR]
        if missing := [name for name in wanted if name not in given]:
            raise error("TD0603", kernel=self.fn.__name__, missing=", ".join(missing))
        return _specs({name: given[name] for name in wanted})

    def _results(self, kernel: nodes.Kernel) -> tuple[nodes.Buffer, ...]:
        out: list[nodes.Buffer] = []
        for index in self.out_idx:
            n = len(kernel.params)
            chosen = kernel.params[index] if -n <= index < n else None
            if not isinstance(chosen, nodes.Buffer):
                names = ", ".join(p.name for p in kernel.params)
                raise error("TD0620", kernel=kernel.name, index=index, parameters=names)
            if chosen in out:
                raise error("TD0624", what="out_idx", expected="different parameters", given=f"'{chosen.name}' twice")
            out.append(chosen)
        return (*kernel.results, *out)


# What calls and compile() take for themselves; 'self' would mean that a method was decorated.
_RESERVED = ("self", "stream", "backend", "tensors", "target")


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    """Shapes of tensors of any library. Raises TileError TD0606 for what is none."""
    from tiledsl.runtime.arguments import as_tensor

    out: dict[str, TensorSpec] = {}
    for name, value in tensors.items():
        t = value if isinstance(value, TensorSpec) else as_tensor(value)
        if t is None:
            raise error("TD0606", name=name, given=type(value).__name__)
        out[name] = TensorSpec(t.shape, t.dtype, t.strides)
    return out


def _key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """A hashable stand-in for compile-time values; unhashable ones count by their text."""

    def one(value: Any) -> Any:
        try:
            hash(value)
        except TypeError:
            return repr(value)
        return (type(value), value)

    return tuple((name, one(values[name])) for name in sorted(values))


def _indices(given: object) -> tuple[int, ...]:
    indices = () if given is None else tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if not all(type(i) is int for i in indices):
        raise error("TD0624", what="out_idx", expected="a position or a tuple of them", given=repr(given))
    return indices


def _checked(options: Options) -> Options:
    """`options` with the shape of pass -> option -> value; the passes check the rest when they are bound."""
    if not isinstance(options, Mapping) or not all(isinstance(o, Mapping) for o in options.values()):
        raise error("TD0624", what="options", expected="a dict of dicts, by pass and option", given=repr(options))
    return dict(options)


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
    validate: bool | None = None,
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
    validate: bool | None = None,
) -> TileKernel | Callable[[Callable[..., Any]], TileKernel]:
    """Make a GPU kernel of a Python function over tiles; see `docs/language.md` for what it may say.

    target: GPU to compile for (sm_80, sm_90a, ...); default: TILEDSL_TARGET, the GPU at hand, sm_80.
    out_idx: positions of the tensor parameters that a call allocates and returns.
    options: typed options of passes, e.g. {"software-pipeline": {"fuse_barrier": False}}.
    backend: cuda, cpu (emitted C++ on the CPU), simt or tile (NumPy); default: TILEDSL_BACKEND, the best at hand.
    fast_math: let NVRTC use approximate division, square root and transcendental functions.
    validate: run the kernel before and after every pass, which must agree; default: TILEDSL_VALIDATE.
    """

    def decorate(function: Callable[..., Any]) -> TileKernel:
        if not isinstance(function, FunctionType):
            raise error("TD0623", given=type(function).__name__)
        return TileKernel(
            function, target, _indices(out_idx), _checked(options or {}), backend, fast_math, validate=validate
        )

    return decorate(fn) if fn is not None else decorate
