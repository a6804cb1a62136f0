"""Functions that are inlined into the kernels that call them."""

from __future__ import annotations

import functools
import inspect
import linecache
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from tiledsl.frontend.binding import bind
from tiledsl.frontend.proxies import Scalar, Variable, describe, reads_of
from tiledsl.frontend.rewrite import rewritten
from tiledsl.frontend.source import defining_scope, fail
from tiledsl.frontend.tensors import Tensor
from tiledsl.frontend.tracer import Activation, tracer_of

C = TypeVar("C", bound=type)


class Ref:
    """A macro parameter that is the caller's variable or tensor itself: `def inc(v: T.Ref): v = v + 1` under T.macro.

    Any other argument is TileError TD0144.
    """


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

    `@T.macro`, or `@T.inline`, stands above its `def`. Numbers are passed by value; a parameter annotated T.Ref is the
    caller's variable. Raises TileError TD0145 for what is no function.
    """
    if not isinstance(fn, FunctionType):
        raise fail("TD0145", value=describe(fn))
    return Macro(fn)


def meta_class(cls: C) -> C:
    """Decorates a class of which kernels make objects, `@T.meta_class`: its methods are macros, `__init__` too.

    What an object holds in a variable is stored to: after `self.n = v`, where `v = T.alloc_var(T.int32, 0)`, in
    `__init__`, `self.n += 1` is a store, and `obj.n` (or `obj.n[0]`) the value. All else that it holds are values at
    trace time. Methods call each other, and those of a base class by `super()`. Called outside of a kernel they raise
    TileError TD0104. Properties, static methods, other names with `__`, and what `dataclass` makes, stay Python's.
    TD0226 for what is no class.
    """
    if not isinstance(cls, type):
        raise fail("TD0226", word="T.meta_class", name="cls", value=describe(cls), allowed="a class")
    for name, held in list(vars(cls).items()):
        if isinstance(held, FunctionType) and (name == "__init__" or not _is_python(name)) and _has_text(held):
            setattr(cls, name, Macro(held))
    return cls


def _is_python(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _has_text(fn: FunctionType) -> bool:
    """Whether somebody wrote it: what `dataclass` makes has no text."""
    return bool(linecache.getlines(fn.__code__.co_filename, fn.__globals__))
