"""Functions that are inlined into the kernels that call them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.proxies import Scalar, Variable, describe, reads_of
from tiledsl.frontend.rewrite import rewritten
from tiledsl.frontend.source import defining_scope, fail
from tiledsl.frontend.tensors import Tensor
from tiledsl.frontend.tracer import Activation, tracer_of


class Ref:
    """`def inc(v: T.Ref): v = v + 1`: a macro parameter that is the caller's variable or tensor itself."""


class Macro:
    """A function whose control flow builds IR in the kernel that calls it."""

    def __init__(self, fn: FunctionType) -> None:
        self.fn = fn
        self.signature = inspect.signature(fn)
        self._scope = defining_scope(fn)
        self._rewritten: FunctionType | None = None
        functools.update_wrapper(self, fn)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tracer = tracer_of(f"macro '{self.fn.__name__}'")
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as problem:
            raise fail("TD0116", problem=f"TypeError: {self.fn.__name__}() {problem}") from None
        if self._rewritten is None:
            self._rewritten = rewritten(self.fn, self._scope)
        tracer.hint(())
        for name, value in bound.arguments.items():
            bound.arguments[name] = self._argument(name, value)
        tracer.activations.append(Activation(self.fn.__name__, tracer.frame))
        result = self._rewritten(*bound.args, **bound.kwargs)
        tracer.activations.pop()
        return result

    def _argument(self, name: str, value: Any) -> Any:
        """What the parameter holds: numbers by value, read once; with `T.Ref` the variable itself."""
        annotation = self.signature.parameters[name].annotation
        if annotation is Ref or (isinstance(annotation, str) and annotation.rsplit(".", 1)[-1] == "Ref"):
            if not isinstance(value, (Variable, Tensor)):
                raise fail("TD0144", macro=self.fn.__name__, name=name, value=describe(value))
            return value
        return bind(value, name) if isinstance(value, Scalar) and reads_of(value) else value

    def __get__(self, instance: object, _owner: type | None = None) -> Callable[..., Any]:
        return self if instance is None else functools.partial(self, instance)


def macro(fn: Callable[..., Any]) -> Macro:
    """Decorates a function of traced values, to be inlined where it is called; it may return values and open blocks.

    Numbers are passed by value; a parameter annotated `T.Ref` is the caller's variable.
    """
    if not isinstance(fn, FunctionType):
        raise fail("TD0145", value=describe(fn))
    return Macro(fn)
