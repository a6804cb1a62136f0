"""The other blocks of a cluster, for one that is executed alone: they are taken to do the same at the same time.

So an arrival at the barriers of all blocks is as many at the own barrier, and of a load to all blocks each part comes
here, evaluated with the numbers of the block that loads it; where each block sends a tile to one other, that stands for
the one that comes here. That is enough for what passes decide within a block; what blocks tell each other is verified
on tiles, where they are executed together (`clusters`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, TypeVar

from tiledsl.ir.concurrent import Arrive, Await, Expect, sends
from tiledsl.ir.nodes import Expr, For, If, Launch, Let, Load, Node, Var, While
from tiledsl.ir.walk import statements, substitute, walk
from tiledsl.verifiers.world import GivenUp

N = TypeVar("N", bound=Node)


@dataclass
class Neighbours:
    """`names` are those of the launch whose values depend on the block's place in its cluster.

    Raises GivenUp where a block sends tiles to others, and it depends on its place what it does then.
    """

    launch: Launch
    names: dict[Var, Expr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for s in statements(self.launch):
            if isinstance(s, Let):
                value = substitute(s.value, self.names)
                if any(n in self.launch.blocks for n in walk(value)):
                    self.names[s.var] = value
        if any(map(sends, statements(self.launch))) and self.apart():
            raise GivenUp

    def count(self, ranks: int) -> int:
        """How many blocks a mask names. Raises GivenUp where these are not all, so that blocks differ."""
        blocks = prod(self.launch.cluster)
        if ranks not in (0, (1 << blocks) - 1):
            raise GivenUp
        return blocks if ranks else 1

    def seen(self, s: N) -> N:
        """`s` in terms of the numbers of the block. Raises GivenUp where it depends on memory besides."""
        if any(isinstance(n, Load) for v in walk(s) if v in self.names for n in walk(self.names[v])):
            raise GivenUp
        return substitute(s, self.names)

    def apart(self) -> bool:
        """Whether it depends on a block's place in its cluster what it does at barriers, or sends to others."""
        own = {*self.names, *self.launch.blocks}
        for s in statements(self.launch):
            head = s.cond if isinstance(s, If | While) else s.extent if isinstance(s, For) else None
            depends = head is not None and any(n in own for n in walk(head))
            if depends and any(isinstance(x, Arrive | Await | Expect) or sends(x) for x in statements(s)):
                return True
        return False

    def places(self, env: Mapping[Var, Any]) -> Iterator[dict[Var, int]]:
        """The numbers of each block of the cluster. Raises GivenUp where the grid has no whole one."""
        size = (*self.launch.cluster, 1, 1, 1)[: len(self.launch.blocks)]
        corner = [int(env[v]) // n * n for v, n in zip(self.launch.blocks, size)]
        for at in product(*(range(n) for n in size)):
            yield {v: c + i for v, c, i in zip(self.launch.blocks, corner, at)}
