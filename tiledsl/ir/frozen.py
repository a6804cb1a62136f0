"""`dataclass(frozen=True, slots=True)` for the many classes of the IR: quicker to define, and nodes quicker to make.

The standard one compiles six functions a class, which was most of the time of `import tiledsl.language`, and its
`__init__` looks every field up by name. Here only `__init__` is compiled, and it writes the slots directly; the other
methods are closures. `fields`, `replace`, `match` and mypy see dataclasses as ever.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any


def reader(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """A function from an object to the tuple of these attributes."""
    if not names:
        return lambda obj: ()
    read = attrgetter(*names)
    return read if len(names) > 1 else lambda obj: (read(obj),)


def _frozen(self: Any, name: str, *_: object) -> None:
    raise dataclasses.FrozenInstanceError(f"{type(self).__name__}.{name} is fixed")


def _repr(self: Any) -> str:
    shown = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _initialiser(kind: Any) -> Any:
    """`__init__`, which stores each argument through the descriptor of its slot."""
    names: dict[str, Any] = {}
    plain: list[str] = []
    keyword: list[str] = []
    stores: list[str] = []
    for f in dataclasses.fields(kind):
        names[f"_set_{f.name}"] = getattr(kind, f.name).__set__
        names[f"_default_{f.name}"] = f.default
        default = "" if f.default is dataclasses.MISSING else f"=_default_{f.name}"
        (keyword if f.kw_only else plain).append(f.name + default)
        stores.append(f"    _set_{f.name}(self, {f.name})\n")
    parameters = ", ".join(["self", *plain, *(["*", *keyword] if keyword else [])])
    exec(f"def __init__({parameters}):\n{''.join(stores) or '    pass'}", names)
    return names["__init__"]


def _with_methods(kind: Any, eq: bool) -> None:
    all_fields = dataclasses.fields(kind)
    read = reader(tuple(f.name for f in all_fields if f.compare))
    state = reader(tuple(f.name for f in all_fields))
    setters = [getattr(kind, f.name).__set__ for f in all_fields]

    def equal(self: Any, other: object) -> Any:
        return read(self) == read(other) if type(other) is type(self) else NotImplemented

    def restore(self: Any, values: tuple[Any, ...]) -> None:
        for store, value in zip(setters, values):
            store(self, value)

    kind.__init__ = _initialiser(kind)
    kind.__repr__ = _repr
    kind.__setattr__ = kind.__delattr__ = _frozen
    kind.__getstate__, kind.__setstate__ = lambda self: state(self), restore
    if eq:
        kind.__eq__ = equal
        kind.__hash__ = lambda self: hash(read(self))


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen, slots, eq=True, kw_only=False):
        """As `dataclasses.dataclass`, for frozen classes with slots and without default factories."""
        assert frozen and slots

        def made(cls):
            cls.__doc__ = cls.__doc__ or cls.__name__  # else dataclass asks `inspect` for a signature
            kind = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
            _with_methods(kind, eq)
            return kind

        return made
