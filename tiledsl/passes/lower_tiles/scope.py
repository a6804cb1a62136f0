"""Where a statement stands while it is lowered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiledsl.ir.nodes import Expr, Var


@dataclass(frozen=True, slots=True)
class Scope:
    """Inside a Parallel loop `env` gives its variables and `first` the conditions for effects outside of the thread.

    `divergent` says that threads may disagree on whether they get here; `single` that one thread of the role does.
    """

    env: Mapping[Var, Expr] = field(default_factory=dict)
    parallel: bool = False
    first: tuple[Expr, ...] = ()
    divergent: bool = False
    single: bool = False
