"""What the parameters of a kernel function are: tensors, run-time scalars, or values that specialise the kernel."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from tiledsl.errors import error
from tiledsl.frontend.pointers import PointerType
from tiledsl.frontend.proxies import TypeWord
from tiledsl.frontend.source import defining_scope, function_ast, span_of_code, span_of_node
from tiledsl.frontend.tensors import TensorType
from tiledsl.ir.dtypes import DType


class Kind(Enum):
    TENSOR = "tensor"
    POINTER = "pointer"  # memory of the call, of which the body says what tensor it is
    SCALAR = "scalar"  # a number that is known only when the kernel runs
    STATIC = "static"  # specialises the kernel by its value


REQUIRED = inspect.Parameter.empty  # the default of a parameter that has none


@dataclass(frozen=True, slots=True)
class Parameter:
    """`tensor` is None for a tensor of the constant style, whose type stands in the body."""

    name: str
    kind: Kind
    tensor: TensorType | None = None
    dtype: DType | None = None
    default: Any = REQUIRED
    pointer: PointerType | None = None

    @property
    def has_default(self) -> bool:
        return self.default is not REQUIRED


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameters in the order of the call. `scope` holds what the function's text can see beside its globals."""

    name: str
    parameters: tuple[Parameter, ...]
    scope: Mapping[str, Any] = field(repr=False)

    @property
    def constant_style(self) -> bool:
        """Whether shapes of tensors stand in the body, their sizes bound from the arguments."""
        return any(p.kind is Kind.TENSOR and p.tensor is None for p in self.parameters)

    def of_kind(self, kind: Kind) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if p.kind is kind)


_KNOWN: WeakKeyDictionary[FunctionType, Signature] = WeakKeyDictionary()


def signature_of(fn: FunctionType) -> Signature:
    """The signature of a kernel function; call it at decoration, while the enclosing function is still running.

    Raises TileError TD0138 for `*args`, TD0124 and TD0125 for annotations that say nothing.
    """
    if fn not in _KNOWN:
        scope = defining_scope(fn)
        given = inspect.signature(fn).parameters.values()
        declared = _declared_in_body(fn) if any(p.annotation is p.empty for p in given) else frozenset()
        parameters = tuple(_parameter(fn, p, scope, declared) for p in given)
        _KNOWN[fn] = Signature(fn.__name__, parameters, scope)
    return _KNOWN[fn]


def _declared_in_body(fn: FunctionType) -> frozenset[str]:
    """Parameters with a statement `A: T.Tensor(...)` in the body."""
    statements = [s for s in function_ast(fn).body if isinstance(s, ast.AnnAssign) and s.value is None]
    return frozenset(s.target.id for s in statements if isinstance(s.target, ast.Name))


def _parameter(fn: FunctionType, p: inspect.Parameter, scope: Mapping[str, Any], declared: frozenset[str]) -> Parameter:
    if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
        raise error("TD0138", span_of_code(fn.__code__), name=p.name)
    annotation = _evaluated(fn, p.name, p.annotation, scope)
    match annotation:
        case TensorType():
            return Parameter(p.name, Kind.TENSOR, annotation)
        case PointerType():
            return Parameter(p.name, Kind.POINTER, pointer=annotation)
        case TypeWord(dtype):
            return Parameter(p.name, Kind.SCALAR, dtype=dtype, default=p.default)
        case DType():
            return Parameter(p.name, Kind.SCALAR, dtype=annotation, default=p.default)
        case _ if p.name in declared:
            return Parameter(p.name, Kind.TENSOR)
        case _ if getattr(annotation, "makes_tensor_types", False):
            raise error("TD0124", _place(fn, p.name), name=p.name, annotation="T.Tensor without a shape")
    return Parameter(p.name, Kind.STATIC, default=p.default)


def _evaluated(fn: FunctionType, name: str, annotation: Any, scope: Mapping[str, Any]) -> Any:
    """An annotation as a value; strings are evaluated where the function was defined."""
    if not isinstance(annotation, str):
        return annotation
    try:
        found = eval(annotation, fn.__globals__, dict(scope))
        # Quotes under `from __future__ import annotations` are quoted twice.
        return eval(found, fn.__globals__, dict(scope)) if isinstance(found, str) else found
    except (NameError, AttributeError, SyntaxError) as problem:
        if "(" not in annotation and "Tensor[" not in annotation:  # a type for type checkers only, not one of ours
            return None
        raise error("TD0125", _place(fn, name), name=name, annotation=annotation, problem=problem) from None


def _place(fn: FunctionType, name: str) -> Any:
    arguments = function_ast(fn).args
    for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if arg.arg == name:
            return span_of_node(fn.__code__.co_filename, arg)  # type: ignore[arg-type]
    return span_of_code(fn.__code__)
