"""What the thread machine tells of memory to whoever watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tiledsl.ir.concurrent import NamedArrive, NamedSync
from tiledsl.ir.nodes import Buffer, Space, Stmt
from tiledsl.verifiers.order import Phases
from tiledsl.verifiers.values import Mask


@dataclass(frozen=True)
class Touch:
    """`size` bytes from byte `start` of `buffer` (a number a thread) by the threads `on`.

    `issued`: by cp.async. `operation`: by that load of the copy engine, which completes on a barrier. `engine`: by the
    copy engine or the tensor core, which read and write through the async proxy.
    """

    buffer: Buffer
    start: Any
    size: int
    writes: bool
    on: Mask
    stmt: Stmt
    atomic: bool = False
    issued: bool = False
    operation: int = 0
    engine: bool = False


class Watcher:
    """Is told what happens, in order. `wants` says of which memory."""

    wants: tuple[Space, ...] = ()

    def touch(self, t: Touch) -> None: ...

    def element(self, stmt: Stmt, buffer: Buffer, indices: list[Any], lanes: int, on: Mask) -> None: ...

    def tensor(self, b: Buffer, writes: bool, on: Mask, s: Stmt, engine: bool = False) -> None:
        """Threads of the group at hand, or the copy engine for them, touch some part of a tensor in global memory."""

    def barrier(self, s: Stmt, on: Mask) -> None: ...

    def fence(self, s: Stmt, on: Mask) -> None:
        """`on` are threads of the group at hand, as of a barrier."""

    def named(self, s: NamedSync | NamedArrive, numbers: Any, first: int, on: Mask) -> None:
        """Threads, counted from `first` of the block on, are at named barriers: a number for each."""

    def commit(self) -> None: ...

    def wait(self, pending: int) -> None: ...

    def complete(self, operation: int) -> None:
        """A load of the copy engine is there, for those whose role goes on now."""

    def sends(self, t: Touch) -> None:
        """The copy engine takes these bytes to another block, and no thread of this one is told when it has."""

    def awaits(self, barrier: Phases, number: int, on: Mask, s: Stmt) -> None:
        """Threads pass a wait for the first `number` phases of a barrier in shared memory."""

    def arrives(self, barrier: Phases, on: Mask, s: Stmt) -> None:
        """Threads are about to arrive at a barrier in shared memory."""

    def roles(self, threads: Sequence[int]) -> None:
        """Groups of so many threads go their own ways from here on; without any they are the whole block again."""

    def turn(self, number: int) -> None:
        """The next statements are of that group, counted from 0."""
