"""Work that goes on beside a thread (`ir/concurrent.py`) as calls of the device API, one statement a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tiledsl.codegen.banks import BankCall, BankRead
from tiledsl.codegen.expr import Expressions
from tiledsl.codegen.spelling import type_name
from tiledsl.ir.concurrent import (
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
    Role,
    SetRegisters,
    Settle,
    TensorCopy,
)
from tiledsl.ir.dtypes import FLOAT32, INT32, UINT32, DType
from tiledsl.ir.nodes import (
    Address,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    Block,
    Buffer,
    Const,
    Expr,
    Space,
    Stmt,
    static_shape,
)
from tiledsl.ir.walk import statements
from tiledsl.isa.table import atom_named

WARP = 32
_COMMIT = {"copy": "cp_async_commit", "product": "wgmma_commit", "store": "bulk_commit"}
_WAIT = {
    ("copy", False): "cp_async_wait",
    ("product", False): "wgmma_wait",
    ("store", False): "bulk_wait",
    ("store", True): "bulk_wait_read",
}
_FENCE = {
    "async_proxy": "fence_proxy_async",
    "async_proxy_global": "fence_proxy_async_global",
    "barrier_init": "fence_mbarrier_init",
    "product": "wgmma_fence",
}

_DEPENDENCY = {"wait": "grid_wait", "trigger": "grid_launch_dependents"}


@dataclass(frozen=True, slots=True)
class TensorMapping:
    """A parameter that tells the copy engine of a tensor: `view` (shape, strides, dtype) on the memory of `tensor`."""

    name: str
    tensor: str
    view: Buffer
    box: tuple[int, ...]
    swizzle: int
    window: tuple[int, ...] = ()  # of im2col: kernel, stride, dilation, padding


@dataclass
class TensorMaps:
    """The tensor maps that a launch uses: one for each tensor, box, swizzle and window."""

    roots: dict[Buffer, Buffer] = field(default_factory=dict)  # views of global buffers, with the parameter they show
    found: dict[tuple[Buffer, tuple[int, ...], int, tuple[int, ...]], TensorMapping] = field(default_factory=dict)
    stored: set[Buffer] = field(default_factory=set)  # parameters that are written by way of a map

    def root(self, buffer: Buffer) -> Buffer:
        return self.roots.get(buffer, buffer)

    def name(self, e: Expressions, tensor: Buffer, s: TensorCopy) -> str:
        key = (tensor, s.box, s.swizzle, s.window)
        if key not in self.found:
            name = e.names.new(f"{tensor.name}_map")
            self.found[key] = TensorMapping(name, self.root(tensor).name, tensor, s.box, s.swizzle, s.window)
        return self.found[key].name


def call(s: Stmt, e: Expressions, maps: TensorMaps) -> str | None:
    """The call for a statement about barriers, the copy engine or the tensor core; None for any other."""
    rule = _RULES.get(type(s))
    return f"tds::{rule(s, e, maps)};" if rule else None


def waits(block: Block) -> bool:
    """Whether it waits at a barrier in shared memory, at any depth."""
    return any(isinstance(inner, Await) for s in block for inner in (s, *statements(s)))


def is_of_whole_warps(role: Role, threads: int) -> bool:
    """Whether the number of a thread's warp says if it belongs to `role`, in a block of `threads`.

    That number is the same in all lanes, and the compiler knows it: what depends on the role then lives in uniform
    registers, and the branch needs no convergence.
    """
    return role.first % WARP == role.threads % WARP == threads % WARP == 0


def role_condition(role: Role, threads: int, number: str, unit: int) -> str:
    """Whether a thread of a block of `threads` belongs to `role`: `number` is that of its group of `unit` threads."""
    end = role.first + role.threads
    bounds = [f"{number} >= {role.first // unit}"] if role.first else []
    bounds += [f"{number} < {end // unit}"] if end < threads else []
    return " && ".join(bounds) or "true"


# ---- statements


def _arrive(s: Arrive, e: Expressions, maps: TensorMaps) -> str:
    if s.copies:
        return f"cp_async_mbarrier_arrive_noinc({e.bare(s.barrier)})"
    if s.ranks and s.bytes:
        return f"mbarrier_arrive_expect_tx_ranks<{s.ranks}>({e.bare(s.barrier)}, {s.bytes})"
    if s.ranks:
        return f"mbarrier_arrive_ranks<{s.ranks}>({e.bare(s.barrier)})"
    if s.bytes:
        return f"mbarrier_arrive_expect_tx({e.bare(s.barrier)}, {s.bytes})"
    return f"mbarrier_arrive({e.bare(s.barrier)})"


def _hold(s: Hold, e: Expressions, maps: TensorMaps) -> str:
    """Narrow floats are held as the words of 32 bits that instructions take."""
    b = s.buffer
    count = 1
    for extent in static_shape(b):
        count *= extent
    dtype = _word_type(b)
    return f"wgmma_hold<{count * b.dtype.bits // dtype.bits}>(tds::view<{type_name(dtype)}>({e.name(b)}))"


def _word_type(b: Buffer) -> DType:
    """As what 32 bits of its registers are passed."""
    return b.dtype if b.dtype in (FLOAT32, INT32, UINT32) else UINT32


def _settle(s: Settle, e: Expressions, maps: TensorMaps) -> str:
    words = s.buffer.dtype.bits * static_shape(s.buffer)[0] // 32
    return f"settle<{max(1, words)}>(tds::view<tds::u32>({e.name(s.buffer)}))"


def _tensor_copy(s: TensorCopy, e: Expressions, maps: TensorMaps) -> str:
    """Coordinates are innermost first, as the hardware has them."""
    tensor, shared = (s.src, s.dst) if s.barrier is not None else (s.dst, s.src)
    name = maps.name(e, tensor.buffer, s)
    corner = [e.bare(i) for i in reversed(tensor.indices)]
    if s.barrier is None:
        maps.stored.add(maps.root(tensor.buffer))
        return _called(f"tma_reduce_{s.op}" if s.op else "tma_store", name, e.bare(shared), *corner)
    where = [e.bare(shared), name, e.bare(s.barrier)]
    mode, tap = ("_im2col" if s.window else ""), [e.bare(i) for i in reversed(s.tap)]
    if s.ranks:
        return _called(f"tma_load{mode}_multicast", *where, str(s.ranks), *corner, *tap)
    return _called(f"tma_load{mode}", *where, *corner, *tap)


def _bulk_move(s: BulkMove, e: Expressions, maps: TensorMaps) -> str:
    size = str(s.lanes * s.dst.buffer.dtype.bits // 8)
    where = [e.bare(s.dst), e.bare(s.src), size]
    if s.rank is not None and s.barrier is not None:
        to, barrier = (f"tds::cluster_map({e.bare(a)}, {e.bare(s.rank)})" for a in (s.dst, s.barrier))
        return _called("bulk_copy_cluster", to, *where[1:], barrier)
    if s.barrier is None:
        e.written.add(s.dst.buffer)
        return _called("bulk_store", *where)
    if s.ranks:
        return _called("bulk_load_multicast", *where, e.bare(s.barrier), str(s.ranks))
    return _called("bulk_load", *where, e.bare(s.barrier))


def _atom_call(s: AtomCall, e: Expressions, maps: TensorMaps) -> str:
    row = atom_named(s.atom)
    if row is None or row.kind != "wgmma":
        return _called(s.atom, *map(e.bare, s.args))
    return _wgmma(s, s.atom, _registers(s.args[0], e), e)


def _wgmma(s: AtomCall, function: str, sums: str, e: Expressions) -> str:
    along = [int(a.value) for a in s.args[4:] if isinstance(a, Const)]
    along = [0] * (2 - len(along)) + along  # a in registers has no order in memory
    flags = f"<1, 1, {along[0]}, {along[1]}>" if any(along) else ""
    _, a, b, accumulate = s.args[:4]
    return _called(function + flags, sums, _registers(a, e), e.bare(b), e.bare(accumulate))


def _bank_call(s: BankCall, e: Expressions, maps: TensorMaps) -> str:
    call = s.call
    return _wgmma(call, f"{call.atom}_banked", e.name(s.bank.variable), e)


def _bank_read(s: BankRead, e: Expressions, maps: TensorMaps) -> str:
    b = s.bank.buffer
    dtype = _word_type(b)
    pointer = f"tds::view<{type_name(dtype)}>({e.name(b)})"
    offset = s.bank.first * b.dtype.bits // dtype.bits
    where = f"{pointer} + {offset}" if offset else pointer
    return _called("bank_read", e.name(s.bank.variable), where)


def _registers(a: Expr, e: Expressions) -> str:
    """Registers as a pointer, which names them without using one: the tensor core may still be writing them."""
    if not isinstance(a, Address) or a.buffer.space is not Space.LOCAL:
        return e.bare(a)
    pointer, (index,) = f"tds::view<{type_name(a.buffer.dtype)}>({e.name(a.buffer)})", a.indices
    return pointer if isinstance(index, Const) and index.value == 0 else f"{pointer} + {e.emit(index)}"


def _called(function: str, *arguments: str) -> str:
    return f"{function}({', '.join(arguments)})"


_RULES: dict[type[Stmt], Callable[[Any, Expressions, TensorMaps], str]] = {
    InitBarrier: lambda s, e, maps: f"mbarrier_init({e.bare(s.barrier)}, {s.count})",
    Arrive: _arrive,
    Expect: lambda s, e, maps: f"mbarrier_expect_tx({e.bare(s.barrier)}, {e.bare(s.bytes)})",
    ClusterBarrier: lambda s, e, maps: f"cluster_{s.part}()",
    Await: lambda s, e, maps: f"mbarrier_wait{'_cluster' * s.cluster}({e.bare(s.barrier)}, {e.bare(s.parity)})",
    NamedSync: lambda s, e, maps: f"barrier_sync({e.bare(s.id)}, {s.count})",
    NamedArrive: lambda s, e, maps: f"barrier_arrive({e.bare(s.id)}, {s.count})",
    Fence: lambda s, e, maps: f"{_FENCE[s.kind]}()",
    Dependency: lambda s, e, maps: f"{_DEPENDENCY[s.kind]}()",
    Hold: _hold,
    Settle: _settle,
    SetRegisters: lambda s, e, maps: f"setmaxnreg_{'inc' if s.increase else 'dec'}<{s.count}>()",
    AsyncCommit: lambda s, e, maps: f"{_COMMIT[s.queue]}()",
    AsyncWait: lambda s, e, maps: f"{_WAIT[s.queue, s.sources]}<{s.pending}>()",
    TensorCopy: _tensor_copy,
    BulkMove: _bulk_move,
    AtomCall: _atom_call,
    BankCall: _bank_call,
    BankRead: _bank_read,
}
