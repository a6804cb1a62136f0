"""What the emitter gives: the text of all launches, and how each is launched."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from tiledsl.codegen.concurrent import TensorMapping
from tiledsl.errors import Span
from tiledsl.ir import foreign
from tiledsl.ir.nodes import Buffer, Kernel, SharedSlot, Space, static_shape


@dataclass(frozen=True, slots=True)
class Entry:
    """One `__global__` function: `params` are the names of the kernel's tensors, scalars and sizes in its order.

    It is launched in blocks of `threads` threads in one dimension with `shared_bytes` bytes of dynamic shared memory.
    `written` are those of the tensors that it stores to, `places` the line of its text where each statement begins.
    `shared` is its shared memory: name, offset, bytes, bytes of one version and bytes of one element of each tile.
    Before `params` it takes the tensor maps `maps`. Blocks of one `cluster` (empty: none) run together.
    `dependent`: its text waits by itself for the kernel before it in the stream.
    `block` is the shape of its blocks where threads are not numbered in one dimension. `users`: it is CUDA text of the
    user's own that only NVRTC compiles. `window` is a tensor and the share of it that the L2 cache is to keep.
    """

    name: str
    launch: int
    threads: int
    shared_bytes: int
    params: tuple[str, ...]
    written: tuple[str, ...]
    places: tuple[tuple[int, Span], ...] = field(default=(), compare=False, repr=False)
    shared: tuple[tuple[str, int, int, int, int], ...] = ()
    maps: tuple[TensorMapping, ...] = ()
    cluster: tuple[int, ...] = ()
    dependent: bool = False
    block: tuple[int, ...] = ()
    users: bool = False
    window: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """`text` is the kernel text, `functions` the names of the device functions and types that it uses, sorted."""

    text: str
    functions: tuple[str, ...]
    entries: tuple[Entry, ...]


def entry_of_the_user(kernel: Kernel, number: int) -> Entry:
    """The entry of a launch whose kernel stands in the source of the user's own."""
    launch = kernel.launches[number]
    text, params = foreign.declared(kernel.source)[launch.entry], foreign.passed(launch)
    written = tuple(p.name for n, p in enumerate(params) if isinstance(p, Buffer) and text.writes(n))
    return Entry(
        launch.entry, number, launch.num_threads, launch.shared_bytes, tuple(p.name for p in params), written,
        cluster=launch.cluster, block=launch.threads if len(launch.threads) > 1 else (), users=not text.portable,
    )  # fmt: skip


def tile_row(slot: SharedSlot) -> tuple[str, int, int, int, int]:
    """The row of `Entry.shared`."""
    b = slot.buffer
    element, whole = max(1, b.dtype.bits // 8), size_of(b) * b.dtype.bits // 8
    version = element if b.space is Space.BARRIER else whole  # barriers of one buffer are those of its stages
    return b.name, slot.offset, whole * b.versions, version, element


def size_of(buffer: Buffer) -> int:
    """The number of elements of one version."""
    return prod(static_shape(buffer))
