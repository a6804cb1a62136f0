"""What is tuned: a kernel with compile-time parameters, or a function that makes kernels."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tiledsl.checking.inputs import on_host
from tiledsl.compile import Lowered
from tiledsl.decorator import CompiledKernel, TileKernel
from tiledsl.errors import error
from tiledsl.frontend.signature import Kind
from tiledsl.runtime.arguments import as_tensor
from tiledsl.target import Target
from tiledsl.testing.given import drawn, named_inputs
from tiledsl.tuning.fit import require_fits

Config = Mapping[str, object]


class Subject(Protocol):
    """One call whose configuration is looked for."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> tuple[str, ...]:
        """What a configuration may name."""
        ...

    @property
    def arguments(self) -> dict[str, object]:
        """Those of the call, by name."""
        ...

    def target(self, named: str | None, first: Config) -> Target: ...

    def made(self, config: Config, target: Target) -> tuple[Any, CompiledKernel]:
        """What the user gets for a configuration, and its kernel, lowered. Raises TileError where it cannot be."""
        ...

    def given(self, lowered: Lowered, inputs: Any) -> Mapping[str, Any]:
        """The arguments to verify and measure with, by name, on the host."""
        ...


@dataclass(frozen=True)
class KernelCall:
    kernel: TileKernel
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.kernel.fn.__name__

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.kernel.signature.of_kind(Kind.STATIC))

    @property
    def arguments(self) -> dict[str, object]:
        static, rest, named = self.kernel.split(self.args, self.kwargs)
        names = [p.name for p in self.kernel.signature.parameters if p.kind is not Kind.STATIC and p.name not in named]
        return {**static, **dict(zip(names, rest)), **named}

    def target(self, named: str | None, first: Config) -> Target:
        return self.kernel.target_for(named)

    def made(self, config: Config, target: Target) -> tuple[Any, CompiledKernel]:
        kwargs = {**self.kwargs, **config}
        compiled, _, _ = self.kernel.specialised(self.args, kwargs, target.name, require_fits)
        return compiled, compiled

    def given(self, lowered: Lowered, inputs: Any) -> Mapping[str, Any]:
        _, rest, named = self.kernel.split(self.args, self.kwargs)
        if inputs is None and any(as_tensor(v) is not None for v in (*rest, *named.values())):
            return on_host(lowered, rest, named)
        return named_inputs(lowered, drawn(inputs, 0, True), 0)


@dataclass(frozen=True)
class FactoryCall:
    factory: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: Any

    @property
    def name(self) -> str:
        return self.factory.__name__

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.factory).parameters)

    @property
    def arguments(self) -> dict[str, object]:
        return dict(inspect.signature(self.factory).bind_partial(*self.args, **self.kwargs).arguments)

    def kernel(self, config: Config) -> TileKernel | CompiledKernel:
        made = self.factory(*self.args, **{**self.kwargs, **config})
        if not isinstance(made, (TileKernel, CompiledKernel)):
            raise error("TD0677", name=self.name, given=type(made).__name__)
        return made

    def target(self, named: str | None, first: Config) -> Target:
        made = self.kernel(first)
        return made.target_for(named) if isinstance(made, TileKernel) else made.target

    def made(self, config: Config, target: Target) -> tuple[Any, CompiledKernel]:
        made = self.kernel(config)
        if isinstance(made, CompiledKernel):
            return made, made
        found = drawn(self.inputs, 0, True) if made.signature.constant_style else None
        args, kwargs = ((), found) if isinstance(found, Mapping) else (tuple(found or ()), {})
        compiled, _, _ = made.specialised(args, kwargs, target.name, require_fits)
        return made, compiled

    def given(self, lowered: Lowered, inputs: Any) -> Mapping[str, Any]:
        return named_inputs(lowered, drawn(inputs, 0, True), 0)


def source_of(fn: Any) -> str:
    """The hash of the text of a function, or of what it is called where the text is not known."""
    inner = getattr(fn, "fn", fn)
    try:
        text = inspect.getsource(inner)
    except (OSError, TypeError):
        text = repr(inner)
    return hashlib.sha256(text.encode()).hexdigest()


def described(value: object) -> object:
    """What a result depends on of an argument: of a tensor its type, shape and strides, else the value."""
    t = as_tensor(value)
    return [t.dtype, list(t.shape), list(t.strides)] if t is not None else repr(value)
