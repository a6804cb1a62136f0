"""The part of `verify` about roles, barriers in shared memory, and asynchronous work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiledsl.ir.concurrent import (
    AGENTS,
    CLUSTER_PARTS,
    DEPENDENCIES,
    FENCES,
    QUEUES,
    Arrive,
    Await,
    BulkMove,
    ClusterBarrier,
    Dependency,
    Expect,
    Fence,
    Hold,
    InitBarrier,
    NamedArrive,
    NamedSync,
    SetRegisters,
    Settle,
    TensorCopy,
)
from tiledsl.ir.im2col import Window
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, Buffer, Const, Space, Stmt
from tiledsl.ir.scopes import Scope, fail
from tiledsl.ir.verify_tiles import at_barrier, bulk_copy

MOST_ARRIVALS = (1 << 20) - 1  # PTX ISA, "mbarrier: contents of the mbarrier object"
MOST_NAMED = 16  # PTX ISA, "bar.sync"
MOST_PIXELS = 1024  # CUDA Driver API, "cuTensorMapEncodeIm2col"
_REDUCTIONS = ("", "add", "min", "max", "and", "or", "xor")


def _commit(scope: Scope, s: AsyncCommit) -> None:
    if s.queue not in QUEUES:
        raise fail(f"unknown queue '{s.queue}'")


def _wait(scope: Scope, s: AsyncWait) -> None:
    if s.queue not in QUEUES or s.pending < 0 or (s.sources and s.queue != "store"):
        raise fail(f"a wait for {s.pending} pending groups of '{s.queue}'{' (sources)' * s.sources}")


def _init(scope: Scope, s: InitBarrier) -> None:
    at_barrier(scope, s.barrier)
    if not 1 <= s.count <= MOST_ARRIVALS:
        raise fail(f"a barrier of {s.count} arrivals")


def _handed(scope: Scope, buffers: tuple[Buffer, ...]) -> None:
    for b in buffers:
        scope.buffer(b)


def _arrive(scope: Scope, s: Arrive) -> None:
    at_barrier(scope, s.barrier)
    _handed(scope, s.buffers)
    if s.by not in AGENTS or not 0 <= s.bytes <= MOST_ARRIVALS or (s.bytes and s.copies):
        raise fail(f"an arrival by '{s.by}' with {s.bytes} bytes")
    if not 0 <= s.ranks < 1 << 16 or (s.ranks and s.copies):
        raise fail(f"an arrival at the blocks {s.ranks:#x}{' of copies' * s.copies}")


def _cluster(scope: Scope, s: ClusterBarrier) -> None:
    if s.part not in CLUSTER_PARTS:
        raise fail(f"unknown part '{s.part}' of a barrier of the cluster")


def _expect(scope: Scope, s: Expect) -> None:
    at_barrier(scope, s.barrier)
    scope.integer(s.bytes, "a number of bytes")


def _await(scope: Scope, s: Await) -> None:
    at_barrier(scope, s.barrier)
    scope.integer(s.parity, "a parity")
    if s.by not in ("threads", "one"):
        raise fail(f"a wait by '{s.by}'")
    _handed(scope, s.buffers)


def _named(scope: Scope, s: NamedSync | NamedArrive) -> None:
    scope.integer(s.id, "the number of a barrier")
    if isinstance(s.id, Const) and not 0 <= s.id.value < MOST_NAMED:
        raise fail(f"there is no named barrier {s.id.value}")
    if not 0 < s.count <= 1024 or s.count % 32:
        raise fail(f"no named barrier counts {s.count} threads")


def _fence(scope: Scope, s: Fence) -> None:
    if s.kind not in FENCES:
        raise fail(f"unknown fence '{s.kind}'")


def _dependency(scope: Scope, s: Dependency) -> None:
    if s.kind not in DEPENDENCIES:
        raise fail(f"unknown dependency '{s.kind}'")


def _hold(scope: Scope, s: Hold) -> None:
    scope.buffer(s.buffer)
    if s.buffer.space is not Space.LOCAL:
        raise fail(f"'{s.buffer.name}' is in {s.buffer.space.value} memory: it has no registers to hold")


def possible_registers(count: int) -> bool:
    """Whether a thread can have that many. PTX ISA, "setmaxnreg"."""
    return count % 8 == 0 and 24 <= count <= 256


def _settle(scope: Scope, s: Settle) -> None:
    scope.buffer(s.buffer)
    if s.buffer.space not in (Space.FRAGMENT, Space.LOCAL):
        raise fail(f"'{s.buffer.name}' is in {s.buffer.space.value} memory: it has no registers to settle")


def _set_registers(scope: Scope, s: SetRegisters) -> None:
    if not possible_registers(s.count):
        raise fail(f"{s.count} registers a thread: a multiple of 8 from 24 to 256 is possible")


def _tensor_copy(scope: Scope, s: TensorCopy) -> None:
    scope.expr(s.dst)
    scope.expr(s.src)
    bulk_copy(scope, s.dst.buffer, s.src.buffer, s.barrier, s.ranks)
    tensor = s.dst.buffer if s.barrier is None else s.src.buffer
    if s.window or s.tap:
        _pixels(scope, s)
    elif len(s.box) != len(tensor.shape) or not 1 <= len(s.box) <= 5 or any(not 1 <= n <= 256 for n in s.box):
        raise fail(f"no box of {s.box} elements of '{tensor.name}'")
    if s.swizzle not in (0, 32, 64, 128) or s.op not in _REDUCTIONS or (s.op and s.barrier is not None):
        raise fail(f"a tensor copy with swizzle {s.swizzle} and operation '{s.op}'")


def _pixels(scope: Scope, s: TensorCopy) -> None:
    for n in s.tap:
        scope.integer(n, "a part of a tap")
    image = s.src.buffer
    if (len(s.window), len(s.tap), len(s.box), len(image.shape)) != (4, 2, 2, 4) or s.barrier is None:
        raise fail(f"no load of {s.box} pixels and channels of '{image.name}' with the window {s.window}")
    window = Window(*s.window)
    if min(s.window[:3]) < 1 or window.pad < 0 or not (1 <= s.box[0] <= MOST_PIXELS and 1 <= s.box[1] <= 256):
        raise fail(f"no load of {s.box} pixels and channels of '{image.name}' with the window {s.window}")


def _bulk_move(scope: Scope, s: BulkMove) -> None:
    scope.expr(s.dst)
    scope.expr(s.src)
    bulk_copy(scope, s.dst.buffer, s.src.buffer, s.barrier, s.ranks, s.rank)
    if s.lanes < 1 or s.lanes * s.src.buffer.dtype.bits % 128:
        raise fail(f"a bulk move of {s.lanes} elements of {s.src.buffer.dtype}: it takes multiples of 16 bytes")


CONCURRENT_RULES: dict[type[Stmt], Callable[[Scope, Any], None]] = {
    AsyncCommit: _commit,
    AsyncWait: _wait,
    InitBarrier: _init,
    Arrive: _arrive,
    ClusterBarrier: _cluster,
    Expect: _expect,
    Await: _await,
    NamedSync: _named,
    NamedArrive: _named,
    Fence: _fence,
    Dependency: _dependency,
    Hold: _hold,
    Settle: _settle,
    SetRegisters: _set_registers,
    TensorCopy: _tensor_copy,
    BulkMove: _bulk_move,
}
