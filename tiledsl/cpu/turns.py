"""The roles of a block, and the blocks of a cluster, as coroutines: each on an OS thread of its own, but one at a time,
so that a run is determined.

One gives its turn away where it waits or arrives, and nowhere else. Then it is the turn of one that can go on: the
first in the order of the program, the last, or any. With the producer as the first role, "first" is the producer as
eager as possible, "last" the consumer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from threading import Semaphore, Thread
from typing import Literal

import numpy as np

from tiledsl.errors import Span, error

Order = Literal["first", "last", "random"]
ORDERS = ("first", "last", "random")


class _Stopped(BaseException):
    """Unwinds the thread of a role whose block has failed elsewhere."""


@dataclass(slots=True)
class Player:
    """A role or a block: `ready` says whether it can go on, `problem` tells of what it waits for, and where."""

    name: str
    body: Callable[[], None]
    ready: Callable[[], bool] | None = None
    problem: Callable[[], tuple[str, Span]] | None = None
    turn: Semaphore = field(default_factory=lambda: Semaphore(0))
    thread: Thread | None = None
    done: bool = False
    failure: BaseException | None = None


class Turns:
    """Deals the turns of one block or cluster."""

    def __init__(self, order: Order, rng: np.random.Generator) -> None:
        if order not in ORDERS:
            raise ValueError(f"the order of roles is one of {', '.join(ORDERS)}, not {order!r}")
        self.order, self.rng = order, rng
        self.back = Semaphore(0)
        self.stopping = False
        self.players: list[Player] = []

    def run(self, players: Sequence[Player], where: str, caller: Player | None = None) -> None:
        """Runs all of them to their ends; if it is the turn of the `caller`, beside all who take turns already.

        Raises what one of them raises, and TileError TD0830 if none can go on.
        """
        if caller is not None:
            self.players += players
            caller.ready = lambda: all(p.done for p in players)
            self.give(caller)
            return
        self.players = list(players)
        try:
            while left := [p for p in self.players if not p.done]:
                able = [p for p in left if p.ready is None or p.ready()]
                if not able:
                    raise stuck([p.problem() for p in left if p.problem], where)
                self._turn(self._choose(able))
        finally:
            self.stopping = True
            for p in self.players:
                if p.thread is not None and not p.done:
                    self._turn(p)
            self.stopping = False

    def _choose(self, able: list[Player]) -> Player:
        match self.order:
            case "first":
                return able[0]
            case "last":
                return able[-1]
        return able[int(self.rng.integers(len(able)))]

    def _turn(self, p: Player) -> None:
        """Lets one go on until it gives the turn back."""
        if p.thread is None:
            # The thread inherits NumPy's handling of overflows, which is part of the context.
            p.thread = Thread(target=copy_context().run, args=(self._play, p), daemon=True)
            p.thread.start()
        p.turn.release()
        self.back.acquire()
        if p.done:
            p.thread.join()
        if p.failure is not None and not self.stopping:
            raise p.failure

    def _play(self, p: Player) -> None:
        p.turn.acquire()
        try:
            p.body()
        except _Stopped:
            pass
        except BaseException as raised:  # handed to the thread that deals the turns
            p.failure = raised
        p.done = True
        self.back.release()

    def give(self, p: Player) -> None:
        """The player lets others go on, until `p.ready`."""
        self.back.release()
        p.turn.acquire()
        if self.stopping:
            raise _Stopped
        p.ready = p.problem = None


def stuck(problems: list[tuple[str, Span]], where: str) -> Exception:
    """The error that nobody can go on; each place is a note."""
    return error("TD0830", notes=tuple(problems), threads="; ".join(text for text, _ in problems), where=where)
