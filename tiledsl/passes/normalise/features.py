"""What a target does not have: products that go on by themselves are made ordinary ones, the rest is an error."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.errors import error
from tiledsl.ir.concurrent import (
    Arrive,
    Await,
    ClusterBarrier,
    Expect,
    Fence,
    Role,
    Roles,
    SetRegisters,
    reaches_blocks,
)
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, Launch, Node, Stmt
from tiledsl.ir.tile import Atomic, Copy, Gemm
from tiledsl.ir.walk import map_children, statements
from tiledsl.target import Target


def supported(launch: Launch, target: Target) -> Launch:
    """The launch with only what `target` has. Raises TileError TD0507 for what no other statement can stand for."""
    for s in statements(launch):
        what, feature = _needed(s)
        if feature and feature not in target.features:
            raise error("TD0507", s.span, what=what, target=target.name)
    if "cluster" not in target.features:
        launch = replace(launch, cluster=())  # nothing in it needs the blocks to run together
    return launch if "wgmma" in target.features else _without_asynchronous_products(launch)


def _needed(s: Stmt) -> tuple[str, str]:
    """What `s` uses in words, and the feature that it needs; empty if every target has it."""
    if isinstance(s, ClusterBarrier) or reaches_blocks(s):
        return "a cluster of blocks", "cluster"
    match s:
        case Copy(bulk=True) | Atomic(bulk=True):
            return "the copy engine (T.tma_copy)", "tma"
        case AsyncCommit("store") | AsyncWait(queue="store"):
            return "a store of the copy engine", "tma"
        case Arrive() | Await() | Expect():
            return "a barrier of T.alloc_barrier", "mbarrier_tx"
        case SetRegisters():
            return "T.set_max_nreg", "setmaxnreg"
        case Roles(roles) if any(r.registers for r in roles):
            return "T.set_max_nreg", "setmaxnreg"
    return "", ""


def _without_asynchronous_products(launch: Launch) -> Launch:
    def rule(node: Node) -> Node | tuple[Node, ...]:
        match node:
            case Gemm(asynchronous=True):
                return replace(node, asynchronous=False)
            case AsyncCommit("product") | AsyncWait(queue="product") | Fence("product"):
                return ()
        return map_children(node, rule) if isinstance(node, Stmt | Launch | Role) else node

    result = rule(launch)
    assert isinstance(result, Launch)
    return result
