"""`tilelang.jit`, `tilelang.compile`, `tilelang.par_compile`: from functions to kernels."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

from tiledsl.compat.tilelang.errors import refused
from tiledsl.compat.tilelang.kernel import JITKernel
from tiledsl.compat.tilelang.options import Chosen, chosen, ignored
from tiledsl.compat.tilelang.primfunc import PrimFunc
from tiledsl.decorator import CompiledKernel, TileKernel
from tiledsl.errors import TileError, error
from tiledsl.frontend.source import function_ast
from tiledsl.settings import logger

_LAUNCHES = ("Kernel", "ClusterKernel", "CUDASourceCodeKernel")


@dataclass(frozen=True)
class Request:
    """The arguments of `jit` and `compile`. None for `out_idx`: results are what the function returns."""

    out_idx: Sequence[int] | int | None = None
    how: Chosen = field(default_factory=Chosen)
    debug_root_path: str | None = None

    @property
    def indices(self) -> tuple[int, ...]:
        given = self.out_idx
        return () if given is None else (given,) if isinstance(given, int) else tuple(given)

    def of(self, func: PrimFunc) -> TileKernel:
        """The tiledsl kernel that these options make of `func`."""
        how = self.how
        return func.kernel(self.indices, how.target, how.backend, how.fast_math, how.options)

    def compiled(self, func: PrimFunc) -> JITKernel:
        """`func`, compiled. Raises TileError TD0640 where both say what the results are."""
        made = self.of(func).compile()
        returned = [b for b in made.lowered.final.results if b.name not in {p.name for p in _own(func)}]
        if self.indices and returned:
            raise refused("TD0640", name=func.name, given=self.out_idx)
        self.note(made)
        return JITKernel(made, func)

    def note(self, made: CompiledKernel) -> None:
        """Writes the text of the kernel, if there is a place for it."""
        if self.debug_root_path is not None:
            folder = Path(self.debug_root_path)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{made.name}.cu").write_text(made.source, encoding="utf-8")


def _own(func: PrimFunc) -> Iterable[inspect.Parameter]:
    return inspect.signature(func.fn).parameters.values()


def _request(
    out_idx: Sequence[int] | int | None,
    target: Any,
    execution_backend: str | None,
    pass_configs: Mapping[Any, Any] | None,
    compile_flags: Sequence[str] | str | None,
    debug_root_path: str | None = None,
    **others: object,
) -> Request:
    ignored("option", others)
    return Request(out_idx, chosen(target, execution_backend, pass_configs, compile_flags), debug_root_path)


def compile(
    func: PrimFunc,
    out_idx: Sequence[int] | int | None = None,
    execution_backend: str | None = None,
    target: Any = None,
    target_host: Any = None,
    verbose: bool | None = None,
    pass_configs: Mapping[Any, Any] | None = None,
    compile_flags: Sequence[str] | str | None = None,
) -> JITKernel:
    """The kernel of a T.prim_func. A call allocates and returns the tensors at the positions `out_idx`.

    target: "auto", "cuda", "cuda -arch=sm_90a", "cpu" (run there), ...; pass_configs: see `PassConfigKey`.
    Raises TileError TD0640 to TD0642, and whatever is wrong in the function.
    """
    if not isinstance(func, PrimFunc):
        raise refused("TD0642", name=getattr(func, "__name__", "compile"), given=type(func).__name__)
    others = {"target_host": target_host}
    return _request(out_idx, target, execution_backend, pass_configs, compile_flags, **others).compiled(func)


def par_compile(
    funcs: Iterable[PrimFunc],
    out_idx: Sequence[int] | int | None = None,
    *,
    num_workers: int | None = None,
    ignore_error: bool = False,
    **options: Any,
) -> list[JITKernel | None]:
    """`compile` of many functions, down to machine code, in threads; with `ignore_error` None for what fails."""
    return _in_threads([functools.partial(compile, f, out_idx, **options) for f in funcs], num_workers, ignore_error)


def _in_threads(
    makers: Sequence[Callable[[], JITKernel]], workers: int | None, ignore_error: bool
) -> list[JITKernel | None]:
    def finished(kernel: JITKernel) -> JITKernel:
        kernel.compiled.cubin  # noqa: B018 - made now, and here; tracing is the part that goes one by one
        return kernel

    found: list[JITKernel | None] = []
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[Any] = []
        for make in makers:
            try:
                waiting.append(pool.submit(finished, make()))
            except TileError as problem:
                waiting.append(problem)
        for future in waiting:
            try:
                if isinstance(future, TileError):
                    raise future
                found.append(future.result())
            except TileError as problem:
                if not ignore_error:
                    raise
                logger().warning("tilelang.par_compile: %s", problem)
                found.append(None)
    return found


@dataclass
class JITImpl:
    """What `@tilelang.jit` makes of a function.

    *Lazy*, of a function that returns a T.prim_func: a call with sizes gives a `JITKernel`. *Eager*, of a function with
    T.Kernel in it: a call with tensors runs the kernel, `compile(M=..., ...)` gives it.
    """

    fn: FunctionType
    request: Request
    _made: dict[Any, JITKernel] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.fn)
        self.signature = inspect.signature(self.fn)
        self.mode = "eager" if is_eager(self.fn) else "lazy"
        self.kernel: TileKernel | None = None
        if self.mode == "eager":
            if self.request.out_idx is not None:
                raise refused("TD0640", name=self.fn.__name__, given=self.request.out_idx)
            self.kernel = self.request.of(PrimFunc(self.fn))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.kernel is not None:
            return self.kernel(*args, **kwargs)
        return self.compile(*args, **kwargs)

    def compile(self, *args: Any, **kwargs: Any) -> JITKernel:
        """The kernel for these arguments: sizes and compile-time parameters, of an eager one also tensors by name."""
        if self.kernel is not None:
            return self._eager(args, kwargs)
        key = _key(self.signature, args, kwargs)
        if key not in self._made:
            self._made[key] = self.request.compiled(self.get_tir(*args, **kwargs))
        return self._made[key]

    def _eager(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> JITKernel:
        assert self.kernel is not None
        tensors = {name: value for name, value in zip(self.signature.parameters, args)}
        compiled, _, _ = self.kernel.specialised((), {**tensors, **kwargs})
        self.request.note(compiled)
        return JITKernel(compiled)

    def par_compile(
        self, configs: Iterable[Any], num_workers: int | None = None, ignore_error: bool = False
    ) -> list[JITKernel | None]:
        """`compile` for each of `configs`, dicts by name or tuples by position."""

        def maker(config: Any) -> Callable[[], JITKernel]:
            if isinstance(config, Mapping):
                return functools.partial(self.compile, **config)
            return functools.partial(self.compile, *config)

        return _in_threads([maker(c) for c in configs], num_workers, ignore_error)

    def get_tir(self, *args: Any, **kwargs: Any) -> PrimFunc:
        """What the function returns. Raises TileError TD0642 if that is no T.prim_func."""
        if self.kernel is not None:
            return PrimFunc(self.fn)
        made = self.fn(*args, **kwargs)
        if not isinstance(made, PrimFunc):
            raise refused("TD0642", name=self.fn.__name__, given=type(made).__name__)
        return made

    def get_kernel_source(self, *args: Any, **kwargs: Any) -> str:
        """The CUDA text of `compile(...)`."""
        return self.compile(*args, **kwargs).get_kernel_source()


def jit(
    func: Any = None,
    *,
    out_idx: Sequence[int] | int | None = None,
    target: Any = None,
    target_host: Any = None,
    execution_backend: str | None = None,
    verbose: bool | None = None,
    pass_configs: Mapping[Any, Any] | None = None,
    debug_root_path: str | None = None,
    compile_flags: Sequence[str] | str | None = None,
) -> Any:
    """Decorates a function that returns a T.prim_func, or a kernel function itself; see `JITImpl` and `compile`.

    debug_root_path: a directory for the CUDA text. `verbose` has nothing to say: TILEDSL_LOG=info does.
    Raises TileError TD0640 and TD0641.
    """
    others = {"target_host": target_host}
    request = _request(out_idx, target, execution_backend, pass_configs, compile_flags, debug_root_path, **others)

    def decorate(given: Any) -> Any:
        if isinstance(given, PrimFunc):
            return request.compiled(given)
        if not isinstance(given, FunctionType):
            raise error("TD0623", given=type(given).__name__)
        return JITImpl(given, request)

    return decorate(func) if func is not None else decorate


def is_eager(fn: FunctionType) -> bool:
    """Whether the function itself, not one that is defined in it, opens a T.Kernel block."""
    waiting: list[ast.AST] = list(function_ast(fn).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.With) and any(_is_launch(item.context_expr) for item in node.items):
            return True
        waiting += ast.iter_child_nodes(node)
    return False


def _is_launch(e: ast.expr) -> bool:
    called = e.func if isinstance(e, ast.Call) else None
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name in _LAUNCHES


def _key(signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A hashable stand-in for the arguments, defaults included; unhashable ones count by their text."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()

    def one(value: Any) -> Any:
        try:
            hash(value)
        except TypeError:
            return repr(value)
        return type(value), value

    return tuple((name, one(value)) for name, value in bound.arguments.items())
