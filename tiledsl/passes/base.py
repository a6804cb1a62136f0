"""What a pass is, and how a pipeline of them runs."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from time import perf_counter

from tiledsl.errors import VerifyError, error
from tiledsl.ir.nodes import Kernel, Launch
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.target import Target

Fact = Callable[[Kernel], None]  # raises VerifyError where the fact does not hold
Verifier = Callable[[Kernel, Kernel, Target | None], None]  # (before, after, target); raises VerifyError
Observer = Callable[["Pass", Kernel, Kernel, float], None]  # (pass, before, after, seconds)


@dataclass(frozen=True)
class Pass:
    """A pure function Kernel -> Kernel, the facts it needs, the facts it establishes, and its bound options.

    `run` takes the kernel and keyword-only options; one called `target` is bound by the pipeline, not by text.
    A pass that says `rounding` may form sums of floats in another order; all others keep every bit.
    `verify` is the independent check of what it made (room `verifiers`), for tests and TILEDSL_VERIFY=1.
    """

    name: str
    run: Callable[..., Kernel]
    requires: tuple[Fact, ...] = ()
    ensures: tuple[Fact, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    rounding: bool = False
    verify: Verifier | None = None

    def __call__(self, kernel: Kernel, **options: object) -> Kernel:
        """The transformed kernel, verified. Raises VerifyError where a fact or the IR's rules do not hold."""
        for fact in self.requires:
            fact(kernel)
        result = self.run(kernel, **{**self.options, **options})
        if result is not kernel:
            verify(result)
        for fact in self.ensures:
            fact(result)
        return result

    def check(self, before: Kernel, after: Kernel) -> None:
        """Raises VerifyError, naming the invariant, where `after` is no right result of this pass for `before`."""
        if self.verify is not None:
            target = self.options.get("target")
            self.verify(before, after, target if isinstance(target, Target) else None)

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The keyword-only parameters of `run` with their types and defaults, `target` included."""
        return _parameters(self.run)

    @property
    def option_types(self) -> Mapping[str, type]:
        """What users may set, with its type."""
        return _option_types(self.run)

    def bind(self, target: Target | None = None, /, **options: object) -> Pass:
        """This pass with `options` fixed, and `target` if it asks for one.

        Raises TileError TD0762 for a foreign option, TD0763 for a value of the wrong type.
        """
        types = self.option_types
        for name, value in options.items():
            if name not in types:
                raise error("TD0762", option=name, name=self.name, known=", ".join(types) or "none")
            if not _fits(value, types[name]):
                raise error("TD0763", option=name, name=self.name, kind=_kind_name(types[name]), value=value)
        bound = {**self.options, **options}
        if target is not None and "target" in self.parameters:
            bound["target"] = target
        return replace(self, options=bound)

    def __str__(self) -> str:
        """The spelling that `parse_pipeline` reads."""
        shown = ",".join(f"{k}={_spell(v)}" for k, v in self.options.items() if k != "target")
        return f"{self.name}{{{shown}}}" if shown else self.name


@cache
def _parameters(run: Callable[..., Kernel]) -> Mapping[str, inspect.Parameter]:
    found = inspect.signature(run).parameters
    return {name: p for name, p in found.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


@cache
def _option_types(run: Callable[..., Kernel]) -> Mapping[str, type]:
    hints = typing.get_type_hints(run)
    return {name: hints[name] for name in _parameters(run) if name != "target"}


def _fits(value: object, kind: type) -> bool:
    """Whether `value` is of the type, or names one of its members; True is no int here."""
    if issubclass(kind, Enum):
        return isinstance(value, kind) or value in {member.value for member in kind}
    return type(value) is kind


def _kind_name(kind: type) -> str:
    return "one of " + ", ".join(m.value for m in kind) if issubclass(kind, Enum) else f"a {kind.__name__}"


def _spell(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def kernel_pass(
    *,
    requires: Sequence[Fact] = (),
    ensures: Sequence[Fact] = (),
    rounding: bool = False,
    verify: Verifier | None = None,
) -> Callable[[Callable[..., Kernel]], Pass]:
    """Makes `def some_pass(kernel, *, target: Target, option: int = 2) -> Kernel` the Pass "some-pass"."""

    def decorate(run: Callable[..., Kernel]) -> Pass:
        name = run.__name__.replace("_", "-")
        return Pass(name, run, tuple(requires), tuple(ensures), rounding=rounding, verify=verify)

    return decorate


def with_launches(kernel: Kernel, launches: Iterable[Launch]) -> Kernel:
    """`kernel` with other launches; itself where all are the ones that it has, so that observers see an idle pass."""
    found = tuple(launches)
    return kernel if all(a is b for a, b in zip(found, kernel.launches)) else replace(kernel, launches=found)


def run_pipeline(
    kernel: Kernel, passes: Sequence[Pass], observe: Observer | None = None, *, check: bool = False
) -> Kernel:
    """`kernel` after all `passes`, each followed by its independent verifier if asked to `check`.

    A VerifyError names the pass and shows the IR that it was given.
    """
    verify(kernel)
    for p in passes:
        before = kernel
        start = perf_counter()
        try:
            kernel = p(before)
            seconds = perf_counter() - start
            if check:
                p.check(before, kernel)
        except VerifyError as raised:
            raise VerifyError(f"in pass '{p.name}': {raised.message}\n\n{text(before)}", raised.span) from raised
        if observe:
            observe(p, before, kernel, seconds)
    return kernel


_ITEM = re.compile(r"\s*([a-z][a-z0-9-]*)\s*(?:\{([^{}]*)\})?\s*(?:,|$)")


def parse_pipeline(source: str, registry: Mapping[str, Pass], target: Target) -> tuple[Pass, ...]:
    """The passes of "a,b{x=2}" in order, with `target` and their options bound.

    Raises TileError TD0760 for a text that is no pipeline, TD0761 for an unknown pass, TD0762 for an unknown option,
    TD0763 for a value of the wrong type.
    """
    passes: list[Pass] = []
    at = 0
    while at < len(source.rstrip()):
        found = _ITEM.match(source, at)
        if not found:
            raise error("TD0760", source=source, rest=source[at:].strip())
        at = found.end()
        name, options = found[1], found[2] or ""
        if name not in registry:
            raise error("TD0761", name=name, known=", ".join(registry))
        passes.append(registry[name].bind(target, **_parse_options(registry[name], options)))
    return tuple(passes)


def _parse_options(p: Pass, source: str) -> dict[str, object]:
    types = p.option_types
    result: dict[str, object] = {}
    for item in filter(None, (part.strip() for part in source.split(","))):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in types:
            raise error("TD0762", option=name, name=p.name, known=", ".join(types) or "none")
        result[name] = _parse_value(p, name, types[name], value)
    return result


_WORDS: Mapping[type, Mapping[str, object]] = {bool: {"true": True, "false": False}}


def _parse_value(p: Pass, option: str, kind: type, value: str) -> object:
    try:
        return _WORDS[kind][value] if kind in _WORDS else kind(value)
    except (KeyError, ValueError):
        raise error("TD0763", option=option, name=p.name, kind=_kind_name(kind), value=value) from None
