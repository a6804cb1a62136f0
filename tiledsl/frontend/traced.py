"""What every traced value refuses to do: Python cannot look into a value that exists only when the kernel runs."""

from __future__ import annotations

from typing import NoReturn

from tiledsl.errors import NOWHERE, Span, error
from tiledsl.frontend.source import fail, here


class Traced:
    """A value that exists only when the kernel runs: Python cannot look into it while the kernel is traced."""

    __slots__ = ()
    __hash__ = object.__hash__
    __array_ufunc__ = None  # so that NumPy scalars on the left leave the operation to us

    def shown(self) -> str:
        """How messages name the value."""
        return type(self).__name__

    def __bool__(self) -> bool:
        raise fail("TD0106", value=self.shown())

    def _no(self, use: str) -> NoReturn:
        raise fail("TD0107", value=self.shown(), use=use)

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

    def __str__(self) -> str:
        return self.shown()

    __repr__ = __str__


class Poison(Traced):
    """What a name holds where its value depends on which way the kernel went. Any use is an error."""

    __slots__ = ("code", "facts", "place")

    def __init__(self, code: str, place: Span = NOWHERE, **facts: object) -> None:
        self.code, self.place, self.facts = code, place, facts

    def used(self, *_: object) -> NoReturn:
        notes = () if self.place is NOWHERE else (("bound here", self.place),)
        raise error(self.code, here(), notes, **self.facts)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self.used()

    def shown(self) -> str:
        self.used()

    __bool__ = __index__ = __int__ = __float__ = __len__ = __iter__ = __contains__ = used
    __call__ = __getitem__ = __setitem__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = used  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = used
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __abs__ = __invert__ = used
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = used
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = used
    __hash__ = object.__hash__
    __str__ = __repr__ = shown
