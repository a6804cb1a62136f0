"""Work that goes on beside a thread: groups of threads with programs of their own, barriers in shared memory, the copy
engine, and products that run asynchronously.

A barrier in shared memory ("mbarrier") counts arrivals and bytes. A *phase* of it ends when as many arrivals have been
made as it was initialised with and all expected bytes have come; then the next begins. Phases are told apart by their
parity: `Await` with parity p passes when the phase in progress does not have parity p, so on a fresh barrier parity 1
passes at once. Source: PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier".
"""

from __future__ import annotations

from tiledsl.ir.frozen import dataclass
from tiledsl.ir.nodes import Address, Block, Buffer, Expr, Node, Stmt, Var

QUEUES = ("copy", "product", "store")
AGENTS = ("threads", "warps", "warpgroups", "one")
FENCES = ("async_proxy", "async_proxy_global", "barrier_init", "product")
CLUSTER_PARTS = ("sync", "arrive", "arrive_relaxed", "wait")
DEPENDENCIES = ("wait", "trigger")
WARPGROUP = 128


@dataclass(frozen=True, slots=True)
class Role(Node):
    """`threads` threads of the block, from thread `first` on, and what they do. `thread` counts them from 0.

    `registers` is what each of them may use (0: as many as at launch): roles give registers to each other.
    """

    name: str
    first: int
    threads: int
    thread: Var
    body: Block
    registers: int = 0


@dataclass(frozen=True, slots=True)
class Roles(Stmt):
    """Each role executes its body, all at the same time; the other threads pass. Tile statements inside a role are
    executed by its threads together, and a barrier there is one of these threads.
    """

    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class InitBarrier(Stmt):
    """Thread stage: makes `barrier` ready for phases of `count` arrivals. One thread does it, a fence follows."""

    barrier: Address
    count: int


@dataclass(frozen=True, slots=True)
class Arrive(Stmt):
    """Arrives at `barrier`, which then expects `bytes` more in this phase.

    `by` says how often: each thread of the role once, or one thread of each warp or warpgroup, or one of them all; at
    the thread stage it is each thread that executes it. `copies`: when the thread's cp.async copies so far are
    complete. `buffers` are what it hands over: tiles that were read and may be overwritten, or that were written.
    `ranks` is a mask of the blocks of the cluster at whose barrier in this place it arrives, each of which then expects
    the bytes (0: this one's).
    """

    barrier: Address
    bytes: int = 0
    by: str = "threads"
    copies: bool = False
    ranks: int = 0
    buffers: tuple[Buffer, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterBarrier(Stmt):
    """All threads of all blocks of the cluster arrive before any leaves: whoever leaves sees what others did before.

    In two parts, of which each thread executes both in turn, other work can stand between them: "arrive", "wait".
    "arrive_relaxed" makes nothing visible that the thread did. Source: PTX ISA, "barrier.cluster".
    """

    part: str = "sync"


@dataclass(frozen=True, slots=True)
class Expect(Stmt):
    """The present phase of `barrier` ends only after `bytes` more have come. One thread says so."""

    barrier: Address
    bytes: Expr


@dataclass(frozen=True, slots=True)
class Await(Stmt):
    """Waits until the phase of `barrier` with that parity (0 or 1) has ended. `buffers` are what others hand over.

    All threads wait, or `by` is "one": the one that acts for the role (Arrive by "one", bulk copies) waits alone, where
    nobody waits for the others: they could come so late that the barrier is in a phase of the same parity again.
    `cluster` is set by lower-tiles: other blocks arrive or send their tiles, and what they did becomes visible.
    """

    barrier: Address
    parity: Expr
    buffers: tuple[Buffer, ...] = ()
    by: str = "threads"
    cluster: bool = False


@dataclass(frozen=True, slots=True)
class NamedSync(Stmt):
    """The threads arrive at the named barrier `id` of the block, and wait until `count` have in this phase of it.

    The number may differ from warp to warp. Unlike at a `Barrier`, others may arrive in another place (`NamedArrive`),
    and go on. Source: PTX ISA, "bar.sync, bar.arrive"; there are 16, of which 0 is that of the whole block.
    """

    id: Expr
    count: int


@dataclass(frozen=True, slots=True)
class NamedArrive(Stmt):
    """The threads arrive at the named barrier `id` of the block, at which others wait (`NamedSync`), and go on."""

    id: Expr
    count: int


@dataclass(frozen=True, slots=True)
class Fence(Stmt):
    """Orders a thread's accesses. "async_proxy": to shared memory, before those of the copy engine and the tensor core.
    "async_proxy_global": to global memory, before those of the copy engine.
    "barrier_init": InitBarrier, before the copy engine. "product": registers, before asynchronous products.
    """

    kind: str


@dataclass(frozen=True, slots=True)
class Hold(Stmt):
    """Thread stage: the registers of `buffer` change here as far as the compiler knows, so no use of them moves across.

    The tensor core writes registers by itself; only waits say when.
    """

    buffer: Buffer


@dataclass(frozen=True, slots=True)
class Settle(Stmt):
    """What `buffer` (a fragment or registers) holds is computed before what follows: compilers must not sink it.

    It stands before waits for products, beside which that work is to run.
    """

    buffer: Buffer


@dataclass(frozen=True, slots=True)
class SetRegisters(Stmt):
    """From here on each thread of the warpgroup has `count` registers. `increase` waits until others gave theirs."""

    count: int
    increase: bool = False


@dataclass(frozen=True, slots=True)
class Dependency(Stmt):
    """Between kernels that follow each other in a stream. "wait": until those before this one are over, and what they
    wrote is there. "trigger": as far as this block is concerned the next one may begin, and waits by itself.

    At the tile stage it stands in the body of a launch, under no condition. Source: PTX ISA, "griddepcontrol".
    """

    kind: str


@dataclass(frozen=True, slots=True)
class TensorCopy(Stmt):
    """Thread stage: one thread has the copy engine move a box of a global tensor to or from shared memory.

    The indices of the tensor's address are those of the box's corner; what lies outside of the tensor is read as 0 and
    not written. In shared memory the box is row-major, with a swizzle of 0, 32, 64 or 128 bytes. A load completes on
    `barrier`; a store belongs to the queue "store", with `op` (add, min, max, and, or, xor) it is a reduction. `ranks`
    is a mask of the blocks of the cluster that a load goes to (0: this one).

    With a `window` (kernel, stride, dilation, pad) it loads a box of the matrix of a convolution (`ir/im2col.py`): for
    `box` = (pixels, channels) pixels, from the one of the address on, what lies `tap` = (down, right) of each.
    """

    dst: Address
    src: Address
    box: tuple[int, ...]
    swizzle: int = 0
    barrier: Address | None = None
    op: str = ""
    ranks: int = 0
    window: tuple[int, ...] = ()
    tap: tuple[Expr, ...] = ()


@dataclass(frozen=True, slots=True)
class BulkMove(Stmt):
    """As TensorCopy, for `lanes` consecutive elements: a multiple of 16 bytes, aligned to 16 on both sides.

    With a `rank` both sides are in shared memory, `dst` and `barrier` in that of the block of this rank of the cluster.
    """

    dst: Address
    src: Address
    lanes: int
    barrier: Address | None = None
    ranks: int = 0
    rank: Expr | None = None


def reaches_blocks(s: Node) -> bool:
    """Whether the statement itself copies to other blocks of the cluster, or arrives at barriers of theirs."""
    return getattr(s, "ranks", 0) != 0 or sends(s)


def sends(s: Node) -> bool:
    """Whether the statement itself copies from shared memory to that of another block of the cluster."""
    return getattr(s, "rank", None) is not None


def members(ranks: int) -> tuple[int, ...]:
    """The numbers in a mask of blocks of a cluster."""
    return tuple(n for n in range(ranks.bit_length()) if ranks >> n & 1)
