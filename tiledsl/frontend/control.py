"""What rewritten functions call in place of Python's own control flow and assignment.

Each construct first looks at its value: a Python value takes Python's way, at trace time; a traced one builds IR.
Under traced control flow a body is run once, so a name that is bound in it means different things on different ways
through the kernel: reading it afterwards, or in a loop before it is bound again, is an error (`Poison`).
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiledsl.errors import NOWHERE, Span
from tiledsl.frontend.proxies import (
    Poison,
    Scalar,
    Traced,
    TypeWord,
    Variable,
    binary,
    condition,
    converted,
    dependencies,
    describe,
    expr_of,
    invert,
    operand,
    reads_of,
    select,
)
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Slice, Tensor, TensorType
from tiledsl.frontend.tracer import Activation, Frame, Tracer, tracer_of
from tiledsl.ir.dtypes import BOOL, INDEX
from tiledsl.ir.nodes import (
    Alloc,
    Assert,
    Binary,
    Break,
    Const,
    Continue,
    Expr,
    For,
    If,
    Let,
    LoopKind,
    Serial,
    Space,
    Store,
    Unrolled,
    Var,
    While,
)
from tiledsl.ir.tile import Parallel
from tiledsl.ir.types import Effect, effect_of

Thunk = Callable[[], Any]
_TRACE_LIMIT = 100_000  # rounds of a while loop on Python values, after which it is taken to be endless


def _current() -> Tracer:
    return tracer_of("a rewritten function")


# ----------------------------------------------------------------------------------------------------- assignment


def names(*hints: str) -> None:
    """Tells the words of the coming expression to which names their results go."""
    _current().hint(hints)


def assign(_names: None, value: Any, name: str, old: Thunk) -> Any:
    """The object to bind to `name` in `name = value`: binds, stores, or leaves a Python value alone."""
    tracer = _current()
    tracer.hint(())
    if isinstance(value, Traced):
        if isinstance(value, Poison):
            value.used()
        if isinstance(value, Variable) and not value.named:
            value.named = True
            return value
    before = _value(old)
    if isinstance(before, Variable) and _is_number(value):
        before_frame_ok(before)
        tracer.emit(Store(before.buffer, (), converted(value, before.type), span=tracer.here()))
        return before
    if isinstance(before, Tensor) and _is_number(value):
        raise fail("TD0113", name=name, value=describe(value))
    return bind(value, name) if isinstance(value, Scalar) else value


def before_frame_ok(variable: Variable) -> None:
    """Raises TileError TD0112 if the variable's block has ended."""
    expr_of(variable)


def _is_number(value: Any) -> bool:
    return isinstance(value, (Scalar, bool, int, float))


def _value(thunk: Thunk) -> Any:
    try:
        return thunk()
    except NameError:
        return None


def bind(value: Scalar, name: str) -> Scalar:
    """`value` as an immutable variable called `name`. Variables, constants and kernel-level sizes need none."""
    tracer = _current()
    e = expr_of(value)
    if tracer.frame is None or (isinstance(e, (Var, Const)) and not isinstance(value, Variable)):
        return value
    var = Var(name, value.type)
    tracer.emit(Let(var, e, span=tracer.here()))
    return Scalar(var, value.type, tracer.frame)


def unpack(_names: None, value: Any) -> Any:
    """The value of an assignment to several targets: what reads memory is read before any target is written."""
    _current().hint(())
    if isinstance(value, (Scalar, Tensor, Slice)):
        raise fail("TD0107", value=value.shown(), use="something to unpack into several names")
    if isinstance(value, (tuple, list)):
        return type(value)(_snapshot(v) for v in value) if type(value) in (tuple, list) else value
    return value


def _snapshot(value: Any) -> Any:
    is_fresh = isinstance(value, Variable) and not value.named
    return bind(value, "value") if isinstance(value, Scalar) and not is_fresh and reads_of(value) else value


def annotated(_names: None, annotation: Any, value: Any, name: str, old: Thunk) -> Any:
    """`name: annotation = value`; a dtype converts the value."""
    if isinstance(annotation, TypeWord) and _is_number(value):
        value = annotation(value)
    return assign(None, value, name, old)


def declare(annotation: Any, name: str, old: Thunk) -> Any:
    """`name: T.Tensor(...)`: gives a tensor parameter of the constant style its shape and dtype."""
    tracer = _current()
    if not isinstance(annotation, TensorType):
        return _value(old)
    if name not in tracer.tensors or len(tracer.activations) != 1:
        raise fail("TD0124", name=name)
    return Tensor(tracer_declare(tracer, name, annotation))


def tracer_declare(tracer: Tracer, name: str, annotation: TensorType) -> Any:
    """Checks the annotation against the argument and registers the parameter's buffer."""
    from tiledsl.frontend.parameters import declare_tensor

    return declare_tensor(tracer, name, annotation)


# ---------------------------------------------------------------------------------------------------- expressions


def and_(first: Any, *rest: Thunk) -> Any:
    """`a and b and ...`"""
    return _junction("and", first, rest)


def or_(first: Any, *rest: Thunk) -> Any:
    """`a or b or ...`"""
    return _junction("or", first, rest)


def _junction(op: str, first: Any, rest: Sequence[Thunk]) -> Any:
    value = first
    for thunk in rest:
        if not isinstance(value, Traced):
            if bool(value) is (op == "or"):
                return value
            value = thunk()
            continue
        _check_scalar(value, op)
        other = _pure(thunk, op)
        if not isinstance(other, Traced):
            other = bool(other)
            # A Python bool decides, or does not matter.
            value = condition(value) if other is (op == "and") else Scalar(Const(other, BOOL), BOOL)
            continue
        a, b = condition(value), condition(_check_scalar(other, op))
        frame, reads = dependencies([a, b])
        value = Scalar(Binary(op, expr_of(a), expr_of(b)), BOOL, frame, reads)
    return value


def _check_scalar(value: Any, op: str) -> Scalar:
    if isinstance(value, Poison):
        value.used()
    if not isinstance(value, Scalar):
        raise fail("TD0202", value=f"{describe(value)} as operand of '{op}'")
    return value


def not_(value: Any) -> Any:
    """`not value`"""
    if not isinstance(value, Traced):
        return not value
    return invert(condition(_check_scalar(value, "not")))


def _pure(thunk: Thunk, construct: str) -> Any:
    """The value of a side that may not be evaluated at run time: it must not build statements."""
    tracer = _current()
    before = len(tracer.frame.block) if tracer.frame is not None else 0
    value = thunk()
    if tracer.frame is not None and len(tracer.frame.block) != before:
        raise fail("TD0115", construct=construct)
    return value


def conditional(test: Any, then: Thunk, orelse: Thunk) -> Any:
    """`then if test else orelse`"""
    if not isinstance(test, Traced):
        return then() if test else orelse()
    _check_scalar(test, "if")
    a, b = _pure(then, "if ... else"), _pure(orelse, "if ... else")
    return select(test, a, b)


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "is": lambda a, b: a is b,
    "is not": lambda a, b: a is not b,
    "in": lambda a, b: a in b,
    "not in": lambda a, b: a not in b,
}


def chain(first: Any, *links: tuple[str, Thunk]) -> Any:
    """`a < b < c`, which is `a < b and b < c` with each operand evaluated once."""
    result: Any = True
    left = first
    for op, thunk in links:
        if not isinstance(result, Traced) and not result:
            return result
        right = _pure(thunk, "a chained comparison") if isinstance(result, Traced) else thunk()
        link = _COMPARE[op](left, right)
        result = _junction("and", result, [lambda link=link: link]) if isinstance(result, Traced) else link
        left = right
    return result


def check(test: Any, message: Thunk) -> None:
    """`assert test, message`"""
    if isinstance(test, Traced):
        tracer = _current()
        tracer.launch("assert")
        tracer.emit(Assert(expr_of(condition(_check_scalar(test, "assert"))), str(message() or ""), span=tracer.here()))
    elif not test:
        raise AssertionError(message())


# ------------------------------------------------------------------------------------------------ names in bodies


@dataclass(eq=False, slots=True)
class Names:
    """The names that a traced body binds: what they held before, and what they must not be used for."""

    what: str
    before: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Span] = field(default_factory=dict)

    def save(self, name: str, old: Thunk) -> Any:
        """Remembers what `name` holds; the result is the same, or a placeholder for a name that holds nothing."""
        try:
            value = old()
        except NameError:
            value = Poison("TD0132", name=name)
        self.before[name] = value
        return value

    def after(self, name: str, now: Thunk) -> Any:
        """What `name` holds after the body: its old value if that did not change, else a Poison."""
        value, before = _value(now), self.before.get(name)
        if value is before or isinstance(value, Poison):
            return before if value is before else value
        if _same_python_value(value, before):
            return before
        return Poison("TD0110", name=name, what=self.what)


def _same_python_value(a: Any, b: Any) -> bool:
    return type(a) is type(b) and isinstance(a, (int, float, str, bool)) and a == b


# ------------------------------------------------------------------------------------------------------------- if


class Branch(Names):
    """`if`: `then()` and `orelse()` say whether to run the bodies; both are run once for a traced condition."""

    __slots__ = ("_frame", "_place", "_taken", "_then", "condition", "traced")

    def __init__(self, test: Any) -> None:
        super().__init__("the 'if'")
        self.traced = isinstance(test, Traced)
        self._taken = True
        if not self.traced:
            self._taken = bool(test)
            return
        tracer = _current()
        tracer.launch("if on a traced value")
        self.condition = expr_of(condition(_check_scalar(test, "if")))
        self._place = tracer.here()
        self._frame = Frame("if", "the 'if'", None, self._place)
        self._then: tuple[Any, ...] = ()

    def then(self) -> bool:
        if self.traced:
            _current().open(self._frame)
        return self._taken

    def swap(self) -> None:
        """Ends the first body of a traced `if`."""
        self._then = _current().close(self._frame)
        self._frame = Frame("if", "the 'else'", None, self._place)
        _current().open(self._frame)

    def restored(self, name: str) -> Any:
        """What `name` held before the `if`, for its second body."""
        return self.before[name]

    def orelse(self) -> bool:
        return self.traced or not self._taken

    def after(self, name: str, now: Thunk) -> Any:
        value = Names.after(self, name, now)
        first = self.places_after_then.get(name, self.before[name])
        if value is self.before[name] and first is not self.before[name] and not _same_python_value(first, value):
            return first if isinstance(first, Poison) else Poison("TD0110", name=name, what=self.what)
        return value

    @property
    def places_after_then(self) -> dict[str, Any]:
        return self.first

    first: dict[str, Any]

    def end(self) -> None:
        tracer = _current()
        tracer.emit(If(self.condition, self._then, tracer.close(self._frame), span=self._place))
