"""Launches that may begin before the one before them is over: what they do until they wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tiledsl.analysis.access import accesses, storage_roots
from tiledsl.errors import error
from tiledsl.ir.concurrent import Dependency
from tiledsl.ir.nodes import Buffer, Kernel, Launch, Space, Stmt
from tiledsl.target import Target

Touched = dict[Buffer, Stmt]  # tensors, and a statement that touches each


def ordered(kernel: Kernel, target: Target | None) -> Kernel:
    """`kernel`, without what its target does not have: there launches run one after the other.

    Raises TileError TD0508 where a launch touches what an earlier one writes, or writes what it touches, before it
    waits. A launch without a wait begins when all before it are over, as does the second of two that wait.
    """
    read: Touched = {}
    written: Touched = {}
    for launch in kernel.launches:
        _check(launch, read, written)
        for wrote, buffer, s in _touched(launch, launch.body):
            (written if wrote else read)[buffer] = s
    if target is None or "dependent_launch" in target.features:
        return kernel
    return replace(kernel, launches=tuple(_alone(launch, target) for launch in kernel.launches))


def _check(launch: Launch, read: Touched, written: Touched) -> None:
    at = next((i for i, s in enumerate(launch.body) if s == Dependency("wait")), None)
    for wrote, buffer, s in _touched(launch, launch.body[:at]) if at is not None else ():
        earlier = written.get(buffer) or (read.get(buffer) if wrote else None)
        if earlier is not None:
            how = "written" if buffer in written else "read"
            notes = ((f"'{buffer.name}' is {how} here", earlier.span),)
            raise error("TD0508", s.span, notes, name=buffer.name, how="written" if wrote else "read", earlier=how)


def _touched(launch: Launch, body: tuple[Stmt, ...]) -> Iterator[tuple[bool, Buffer, Stmt]]:
    """Whether it is written, the tensor, and the statement, for each access to global memory."""
    roots = storage_roots(launch.body)
    for s in body:
        for a in accesses(s):
            if a.buffer.space is Space.GLOBAL:
                yield a.writes, roots.get(a.buffer, a.buffer), s


def _alone(launch: Launch, target: Target) -> Launch:
    body = tuple(s for s in launch.body if not isinstance(s, Dependency))
    if len(body) == len(launch.body):
        return launch
    note = f"T.pdl_sync and T.pdl_trigger do nothing on {target.name}: launches run one after the other"
    return replace(launch, body=body, notes=(*launch.notes, note))
