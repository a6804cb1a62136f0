"""What rewritten functions call in place of assignment, `and`, `or`, `not`, `a if c else b` and chained comparison.

A Python value takes Python's way at trace time; a traced one builds IR.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from types import MemberDescriptorType
from typing import Any, TypeAlias

from tiledsl.frontend.packed import Packed
from tiledsl.frontend.parameters import declare_tensor
from tiledsl.frontend.proxies import (
    Scalar,
    TypeWord,
    Variable,
    condition,
    dependencies,
    describe,
    expr_of,
    reads_of,
    select,
)
from tiledsl.frontend.source import by_python, fail
from tiledsl.frontend.tensors import Slice, Tensor, TensorType
from tiledsl.frontend.traced import Poison, Traced
from tiledsl.frontend.tracer import Tracer, tracer_of
from tiledsl.ir.dtypes import BOOL
from tiledsl.ir.nodes import Assert, Binary, Const, Let, Var

Thunk: TypeAlias = Callable[[], Any]


def current() -> Tracer:
    """The tracer in force, for a rewritten function."""
    return tracer_of("a macro")


def value_of(thunk: Thunk) -> Any:
    """What a name holds, None if nothing."""
    try:
        return thunk()
    except NameError:
        return None


# ----------------------------------------------------------------------------------------------------- assignment


def names(*hints: str) -> tuple[str, ...]:
    """Tells the words of the coming expression to which names their results go; the result is the names."""
    current().hint(hints)
    return hints


def assign(_names: Sequence[str], value: Any, name: str, old: Thunk) -> Any:
    """The object to bind to `name` in `name = value`: binds, stores, or leaves a Python value alone."""
    tracer = current()
    tracer.hint(())
    if isinstance(value, Poison):
        value.used()
    if isinstance(value, Variable) and not value.named:
        value.named = True
        return value
    if not _is_number(value):
        return value
    before = value_of(old)
    if isinstance(before, Variable):
        before.store(value)
        return before
    if isinstance(before, (Tensor, Packed)):
        raise fail("TD0113", name=name, value=describe(value))
    return bind(value, name) if isinstance(value, Scalar) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (Scalar, bool, int, float))


def bind(value: Scalar, name: str) -> Scalar:
    """`value` as an immutable variable called `name`. Variables, constants and kernel-level sizes need none."""
    tracer = current()
    e = expr_of(value)
    if tracer.frame is None or isinstance(e, (Var, Const)):
        return value
    var = Var(name, value.type)
    tracer.emit(Let(var, e, span=tracer.here()))
    return Scalar(var, value.type, tracer.frame)


def unpack(names: Sequence[str], value: Any) -> Any:
    """The value of an assignment to several targets: what reads memory is read before any target is written."""
    current().hint(())
    if isinstance(value, Poison):
        value.used()
    if isinstance(value, (Scalar, Tensor, Slice)):
        raise fail("TD0107", value=value.shown(), use="something to unpack into several names")
    if type(value) not in (tuple, list):
        return value
    hints = names if len(names) == len(value) else ["value"] * len(value)
    return tuple(_snapshot(v, name) for v, name in zip(value, hints))


def _snapshot(value: Any, name: str) -> Any:
    if not isinstance(value, Scalar) or (isinstance(value, Variable) and not value.named):
        return value
    return bind(value, name) if reads_of(value) else value


def set_item(value: Any, container: Any, index: Any) -> None:
    """`container[index] = value`; where a Python container holds a mutable variable, the variable is stored to."""
    if isinstance(container, (list, dict)) and _is_number(value):
        old = by_python(container.__getitem__, index) if isinstance(container, list) else container.get(index)
        if isinstance(old, Variable):
            assign((), value, "", lambda: old)
            return
    by_python(operator.setitem, container, index, value)


def set_attribute(_names: Sequence[str], value: Any, owner: Any, name: str) -> None:
    """`owner.name = value`; where the attribute is a mutable variable, a number is stored to it.

    A variable that gets its first name so is one of the owner: what reads the attribute later has its value.
    """
    current().hint(())
    old = _held(owner, name)
    if isinstance(old, Variable) and old is not value and _is_number(value) and not _is_new(value):
        old.store(value)
        return
    if isinstance(value, Variable):
        value.named = True
    by_python(setattr, owner, name, value)


def _held(owner: Any, name: str) -> Any:
    """What the object itself holds under the name, without running what a class computes for it."""
    if isinstance(getattr(type(owner), name, None), MemberDescriptorType):
        return getattr(owner, name, None)
    return getattr(owner, "__dict__", {}).get(name)


def _is_new(value: Any) -> bool:
    """Whether it is a variable that has no name yet."""
    return isinstance(value, Variable) and not value.named


def update_attribute(fn: Callable[[Any, Any], Any], owner: Any, name: str, value: Any) -> None:
    """`owner.name op= value`, with `fn` as the operator in place."""
    set_attribute((), by_python(fn, by_python(getattr, owner, name), value), owner, name)


def update_item(fn: Callable[[Any, Any], Any], container: Any, index: Any, value: Any) -> None:
    """`container[index] op= value`, with `fn` as the operator in place."""
    set_item(by_python(fn, by_python(operator.getitem, container, index), value), container, index)


def annotated(_names: Sequence[str], annotation: Thunk, value: Any, name: str, old: Thunk) -> Any:
    """`name: annotation = value`; a dtype converts the value. Python does not evaluate local annotations at all."""
    word = value_of(annotation)
    if isinstance(word, TypeWord) and _is_number(value) and not isinstance(value, Variable):
        value = word(value)
    return assign((), value, name, old)


def declare(annotation: Any, name: str) -> Any:
    """`name: T.Tensor(...)`: gives a tensor parameter of the constant style its shape and dtype."""
    tracer = current()
    if not isinstance(annotation, TensorType):
        raise fail("TD0124", name=name, annotation=describe(annotation))
    if name not in tracer.undeclared or len(tracer.activations) != 1:
        raise fail("TD0136", name=name)
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
            if by_python(bool, value) is (op == "or"):
                return value
            value = thunk()
            continue
        a = condition(_scalar_operand(value, op))
        other = _without_statements(thunk, op)
        if not isinstance(other, Traced):
            truth = by_python(bool, other)
            # A Python value decides, or does not matter.
            value = a if truth is (op == "and") else bool(truth)
            continue
        b = condition(_scalar_operand(other, op))
        frame, reads = dependencies([a, b])
        value = Scalar(Binary(op, expr_of(a), expr_of(b)), BOOL, frame, reads)
    return value


def _scalar_operand(value: Any, op: str) -> Scalar:
    if isinstance(value, Poison):
        value.used()
    if not isinstance(value, Scalar):
        raise fail("TD0202", value=f"{describe(value)} as an operand of '{op}'")
    return value


def not_(value: Any) -> Any:
    """`not value`"""
    if not isinstance(value, Traced):
        return not by_python(bool, value)
    return ~condition(_scalar_operand(value, "not"))


def _without_statements(thunk: Thunk, construct: str) -> Any:
    """The value of a side that may not be evaluated at run time: it must not build statements."""
    frame = current().frame
    before = len(frame.block) if frame is not None else 0
    value = thunk()
    if frame is not None and len(frame.block) != before:
        raise fail("TD0115", construct=construct)
    return value


def conditional(test: Any, then: Thunk, orelse: Thunk) -> Any:
    """`then if test else orelse`"""
    if not isinstance(test, Traced):
        return then() if by_python(bool, test) else orelse()
    _scalar_operand(test, "if ... else")
    a = _without_statements(then, "if ... else")
    b = _without_statements(orelse, "if ... else")
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
        if isinstance(result, Traced):
            right = _without_statements(thunk, "a chained comparison")
            link = by_python(_COMPARE[op], left, right)
            result = _junction("and", result, [lambda link=link: link])  # type: ignore[misc]
        elif not by_python(bool, result):
            return result
        else:
            right = thunk()
            result = by_python(_COMPARE[op], left, right)
        left = right
    return result


def check(test: Any, message: Thunk) -> None:
    """`assert test, message`"""
    if isinstance(test, Traced):
        tracer = current()
        if tracer.const_sizes is None:
            return  # it is asserted again when the sizes are known
        tracer.launch("assert")
        cond = expr_of(condition(_scalar_operand(test, "assert")))
        tracer.emit(Assert(cond, str(message() or ""), span=tracer.here()))
    elif not test:
        raise AssertionError(message() or "")
