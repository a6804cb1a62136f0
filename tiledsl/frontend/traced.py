"""What every traced value has and refuses: operators build IR, but Python cannot look into a value of run time."""

from __future__ import annotations

from typing import Any, NoReturn

from tiledsl.errors import NOWHERE, Span, error
from tiledsl.frontend.source import fail, here


class Operators:
    """Python's operators, all by way of `_apply(operator, *operands)`."""

    __slots__ = ()
    __array_ufunc__ = None  # so that NumPy scalars on the left leave the operation to us

    def _apply(self, op: str, *operands: Any) -> Any:
        raise NotImplementedError

    def __add__(self, other: Any) -> Any:
        return self._apply("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return self._apply("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return self._apply("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._apply("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return self._apply("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._apply("*", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._apply("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._apply("/", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return self._apply("//", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._apply("//", other, self)

    def __mod__(self, other: Any) -> Any:
        return self._apply("%", self, other)

    def __rmod__(self, other: Any) -> Any:
        return self._apply("%", other, self)

    def __pow__(self, other: Any) -> Any:
        return self._apply("**", self, other)

    def __rpow__(self, other: Any) -> Any:
        return self._apply("**", other, self)

    def __and__(self, other: Any) -> Any:
        return self._apply("&", self, other)

    def __rand__(self, other: Any) -> Any:
        return self._apply("&", other, self)

    def __or__(self, other: Any) -> Any:
        return self._apply("|", self, other)

    def __ror__(self, other: Any) -> Any:
        return self._apply("|", other, self)

    def __xor__(self, other: Any) -> Any:
        return self._apply("^", self, other)

    def __rxor__(self, other: Any) -> Any:
        return self._apply("^", other, self)

    def __lshift__(self, other: Any) -> Any:
        return self._apply("<<", self, other)

    def __rlshift__(self, other: Any) -> Any:
        return self._apply("<<", other, self)

    def __rshift__(self, other: Any) -> Any:
        return self._apply(">>", self, other)

    def __rrshift__(self, other: Any) -> Any:
        return self._apply(">>", other, self)

    def __lt__(self, other: Any) -> Any:
        return self._apply("<", self, other)

    def __le__(self, other: Any) -> Any:
        return self._apply("<=", self, other)

    def __gt__(self, other: Any) -> Any:
        return self._apply(">", self, other)

    def __ge__(self, other: Any) -> Any:
        return self._apply(">=", self, other)

    def __eq__(self, other: Any) -> Any:
        return self._apply("==", self, other)

    def __ne__(self, other: Any) -> Any:
        return self._apply("!=", self, other)

    def __neg__(self) -> Any:
        return self._apply("-", self)

    def __pos__(self) -> Any:
        return self._apply("+", self)

    def __abs__(self) -> Any:
        return self._apply("abs", self)

    def __invert__(self) -> Any:
        return self._apply("~", self)

    __hash__ = object.__hash__


class Traced(Operators):
    """A value that exists only when the kernel runs."""

    __slots__ = ()

    def shown(self) -> str:
        """How messages name the value."""
        return type(self).__name__

    def _no(self, use: str) -> NoReturn:
        raise fail("TD0107", value=self.shown(), use=use)

    def __bool__(self) -> bool:
        raise fail("TD0106", value=self.shown())

    def __index__(self) -> int:
        self._no("an index of a Python sequence or a bound of a Python range")

    def __int__(self) -> int:
        self._no("a Python int")

    def __float__(self) -> float:
        self._no("a Python float")

    def __len__(self) -> int:
        self._no("something with a length")

    def __iter__(self) -> NoReturn:
        self._no("something to iterate over")

    def __contains__(self, _item: object) -> bool:
        self._no("a container")

    def __call__(self, *_: object, **__: object) -> Any:
        self._no("a function")

    def __getitem__(self, _index: Any) -> Any:
        self._no("something to index")

    def __setitem__(self, _index: Any, _value: Any) -> None:
        self._no("something to index")

    def __str__(self) -> str:
        return self.shown()

    __repr__ = __str__


class Poison(Traced):
    """What a name holds where its value depends on which way the kernel went. Any use is an error."""

    __slots__ = ("code", "facts", "place")

    def __init__(self, code: str, place: Span = NOWHERE, **facts: object) -> None:
        self.code, self.place, self.facts = code, place, facts

    def used(self) -> NoReturn:
        """Raises the error of using the value."""
        notes = () if self.place is NOWHERE else (("bound in this block", self.place),)
        raise error(self.code, here(), notes, **self.facts)

    def shown(self) -> str:
        self.used()

    def _no(self, use: str) -> NoReturn:
        self.used()

    def __bool__(self) -> bool:
        self.used()

    def _apply(self, op: str, *operands: Any) -> Any:
        self.used()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self.used()
