"""The independent verifier of split-loops: before and after are run on tokens, and leave the same in every tensor."""

from __future__ import annotations

from tiledsl.ir.nodes import Kernel
from tiledsl.target import Target
from tiledsl.verifiers.equal import verify_same
from tiledsl.verifiers.watch import Watcher


def verify_split(before: Kernel, after: Kernel, target: Target | None = None) -> None:
    """Raises VerifyError P3 where an iteration does something else than before."""
    why = "iterations took the other side of a condition, or were left out"
    verify_same(before, after, "P3", why, lambda kernel, world: Watcher())
