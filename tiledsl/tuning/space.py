"""The configurations to try, in the order in which they are tried."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiledsl.errors import error

Config = dict[str, object]
Given = Iterable[Mapping[str, object]] | Mapping[str, Iterable[object]] | Callable[..., Any]


def configurations(given: Given, arguments: Mapping[str, object], parameters: Iterable[str]) -> tuple[Config, ...]:
    """The configurations that `given` says, each once.

    A list of dicts is what it is; a dict of lists is their product, the last name varying fastest; a function gives one
    of these, called with those of `arguments` that it has parameters for. Raises TileError TD0670 for what is none of
    them, TD0671 for a name that is no parameter.
    """
    found = _called(given, arguments) if callable(given) else given
    if isinstance(found, Mapping):
        if not all(isinstance(v, Iterable) and not isinstance(v, str) for v in found.values()):
            raise error("TD0670", given=repr(found))
        listed: list[Any] = [dict(zip(found, values)) for values in itertools.product(*found.values())]
    else:
        listed = list(found) if isinstance(found, Iterable) else [found]
    known = set(parameters)
    made: list[Config] = []
    for config in listed:
        if not isinstance(config, Mapping) or not all(isinstance(n, str) for n in config):
            raise error("TD0670", given=repr(config))
        if unknown := [n for n in config if n not in known]:
            raise error("TD0671", name=unknown[0], known=", ".join(sorted(known)) or "none")
        if dict(config) not in made:
            made.append(dict(config))
    if not made:
        raise error("TD0670", given="no configuration")
    return tuple(made)


def _called(given: Callable[..., Any], arguments: Mapping[str, object]) -> Any:
    parameters = inspect.signature(given).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return given(**arguments)
    return given(**{p.name: arguments[p.name] for p in parameters if p.name in arguments})
