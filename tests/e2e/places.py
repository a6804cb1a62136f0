"""Where a fault is, by names that stay when statements elsewhere come or go: launch, role, and which of its loops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class _Block:
    label: str
    loops: int = 0  # begun in it so far
    roles: int = 0


@dataclass
class Place:
    """A walk through a kernel. Loops that are unrolled do not count: which these are is for the compiler to say."""

    launches: int = 0
    blocks: list[_Block] = field(default_factory=lambda: [_Block("")])

    def enter_launch(self) -> None:
        self.launches += 1
        self.blocks = [_Block(f"launch {self.launches}" if self.launches > 1 else "")]

    def enter_role(self) -> None:
        self.blocks[-1].roles += 1
        self.blocks.append(_Block(f"role {self.blocks[-1].roles}"))

    def enter_loop(self) -> None:
        self.blocks[-1].loops += 1
        self.blocks.append(_Block(f"in loop {self.blocks[-1].loops}"))

    def leave(self) -> None:
        self.blocks.pop()

    @contextmanager
    def within_role(self) -> Iterator[None]:
        self.enter_role()
        yield
        self.leave()

    @contextmanager
    def within_loop(self) -> Iterator[None]:
        self.enter_loop()
        yield
        self.leave()

    def __str__(self) -> str:
        said = [b.label for b in self.blocks if b.label]
        if last := self.blocks[-1].loops:
            said.append(f"after loop {last}")
        return " ".join(said) or "at the start"
