"""What the lowering of a launch knows and collects: layouts, storage, ranges, the binds at the top of the kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import Arrive, Role, sends
from tiledsl.ir.dtypes import DType
from tiledsl.ir.layout import Fragment, Layout, row_major
from tiledsl.ir.nodes import Barrier, Buffer, Call, Const, Expr, Launch, Let, Space, Stmt, Var, static_shape
from tiledsl.ir.simplify import Simplifier
from tiledsl.ir.tile import Copy
from tiledsl.ir.walk import statements
from tiledsl.passes.lower_tiles.uniform import Differing, differing
from tiledsl.target import Target

Ranges = Mapping[Var, tuple[float, float]]


@dataclass(frozen=True)
class Memory:
    """What a launch's threads share: layouts, the storage of buffers, what a view shows, and the barriers at which
    other blocks of the cluster arrive."""

    layouts: dict[Buffer, Fragment | Layout]
    sources: dict[Buffer, Buffer] = field(default_factory=dict)
    storage: dict[Buffer, Buffer] = field(default_factory=dict)
    reached: frozenset[Buffer] = frozenset()


class Context:
    """Grows while the statements of a launch, or of a role in it, are lowered; `prologue` is put in front of them.

    A value bound there depends on nothing but the thread, so it is computed once and outside of all loops.
    """

    def __init__(
        self, thread: Var, num_threads: int, target: Target, memory: Memory, differing: Differing, ranges: Ranges
    ) -> None:
        self.target = target
        self.thread = thread
        self.num_threads = num_threads
        self.memory = memory
        self.layouts = memory.layouts
        self.sources = memory.sources  # a view to the buffer that it shows
        self.storage = memory.storage
        self.differing = differing
        self.products = Products()
        self.blocks: Ranges = {}  # of the block's numbers
        self.barrier = Barrier()  # of all these threads
        self.prologue: list[Stmt] = []
        self.thread_vars: set[Var] = {self.thread}
        self.digit_vars: set[Var] = set()
        self.ranges: dict[Var, tuple[float, float]] = {**ranges, self.thread: (0, self.num_threads - 1)}
        self._simplifier = Simplifier(self.ranges)
        self._bound: dict[Expr, Var] = {}
        self._digits: dict[tuple[int, int], Expr] = {}
        self._registers: dict[tuple[object, ...], Expr] = {}

    def of_role(self, role: Role, barrier: Barrier) -> Context:
        """The context of the threads of a role: their own number, digits and prologue, the same memory."""
        own = Context(role.thread, role.threads, self.target, self.memory, self.differing, self.ranges)
        own.blocks, own.barrier = self.blocks, barrier
        return own

    # ------------------------------------------------------------------------------------------------------ layouts

    def fragment_of(self, buffer: Buffer) -> Fragment:
        """The register layout of a fragment. Raises VerifyError where inference left none."""
        layout = self.layouts.get(buffer)
        if not isinstance(layout, Fragment):
            raise VerifyError(f"fragment '{buffer.name}' has no register layout")
        return layout

    def shared_layout(self, buffer: Buffer) -> Layout:
        """The layout of a shared buffer; row-major where none was assigned."""
        layout = self.layouts.get(buffer)
        if isinstance(layout, Layout):
            return layout
        return self.layouts.setdefault(buffer, row_major(static_shape(buffer)))  # type: ignore[return-value]

    def store_for(self, buffer: Buffer) -> Buffer:
        """The thread stage's buffer for `buffer`: registers of one thread, flat shared memory, or the buffer itself."""
        if buffer not in self.storage:
            self.storage[buffer] = self._storage(buffer)
        return self.storage[buffer]

    def _storage(self, buffer: Buffer) -> Buffer:
        match buffer.space:
            case Space.FRAGMENT:
                regs = self.fragment_of(buffer).num_regs
                return Buffer(buffer.name, (regs,), buffer.dtype, Space.LOCAL)
            case Space.SHARED:
                size = self.shared_layout(buffer).size
                return Buffer(buffer.name, (size,), buffer.dtype, Space.SHARED, versions=buffer.versions)
        return buffer

    def note_register(self, f: Fragment, coords: tuple[Expr, ...], reg: Expr) -> None:
        """Remembers that this thread holds the element at `coords` of a tile laid out as `f` in register `reg`."""
        self._registers[coords, f] = reg

    def noted_register(self, f: Fragment, coords: Sequence[Expr]) -> Expr | None:
        return self._registers.get((tuple(coords), f))

    def registers(self, name: str, count: int, dtype: DType) -> Buffer:
        """A new array of each thread."""
        return Buffer(name, (count,), dtype, Space.LOCAL)

    def workspace(self, name: str, count: int, dtype: DType) -> Buffer:
        """A new array of the block in shared memory."""
        return Buffer(name, (count,), dtype, Space.SHARED)

    # -------------------------------------------------------------------------------------------------- expressions

    def simplify(self, e: Expr) -> Expr:
        return self._simplifier.simplify(e)

    def divisible(self, e: Expr, c: int) -> bool:
        return self._simplifier.divisible(e, c)

    def bounds(self, e: Expr) -> tuple[float, float]:
        return self._simplifier.bounds(e)

    def digit_var(self, name: str, extent: int) -> Var:
        """A new variable for an unrolled loop over 0 .. extent - 1."""
        var = Var(name)
        self.ranges[var] = (0, extent - 1)
        self.digit_vars.add(var)
        return var

    def loop_var(self, var: Var, extent: Expr) -> None:
        """Notes the range of a loop's variable."""
        self.ranges[var] = (0, extent.value - 1 if isinstance(extent, Const) else inf)

    def thread_digit(self, inner: int, extent: int) -> Expr:
        """thread // inner % extent, bound once for the kernel."""
        key = inner, extent
        if key not in self._digits:
            value: Expr = self.thread if inner == 1 else self.thread // inner
            if inner * extent < self.num_threads:
                value = value % extent
            self._digits[key] = self.bind(f"t{inner}", value)
        return self._digits[key]

    def uniform_digit(self, inner: int, extent: int) -> Expr:
        """As `thread_digit`, for a number that is the same in a warp: addresses then are needed once for the warp."""
        key = -inner, extent
        if key not in self._digits:
            value: Expr = self.thread // inner
            if inner * extent < self.num_threads:
                value = value % extent
            low, high = self.bounds(value)
            self._digits[key] = Const(0) if low == high else self._bind(f"t{inner}", _uniform(value), low, high)
        return self._digits[key]

    def bind(self, name: str, value: Expr) -> Expr:
        """A variable bound to `value` at the top of the kernel; `value` mentions only such variables and the thread."""
        if isinstance(value, Var | Const):
            return value
        if value not in self._bound:
            low, high = self.bounds(value)
            if low == high:
                return Const(int(low))
            self._bound[value] = self._bind(name, value, low, high)
        return self._bound[value]

    def _bind(self, name: str, value: Expr, low: float, high: float) -> Var:
        var = Var(name)
        self.ranges[var] = (low, high)
        self.thread_vars.add(var)
        self.prologue.append(Let(var, value))
        return var


def _uniform(value: Expr) -> Expr:
    return Call("warp_uniform", (value,))


def context_of(launch: Launch, target: Target) -> Context:
    """The context of a launch's own statements."""
    far = (s for s in statements(launch) if (isinstance(s, Arrive) and s.ranks) or (isinstance(s, Copy) and sends(s)))
    reached = frozenset(s.barrier.buffer for s in far if s.barrier is not None)
    memory = Memory({a.buffer: a.layout for a in launch.layouts}, reached=reached)
    ctx = Context(launch.thread, launch.num_threads, target, memory, differing(launch), {})
    ctx.blocks = {v: (0, n.value - 1 if isinstance(n, Const) else inf) for v, n in zip(launch.blocks, launch.grid)}
    return ctx


@dataclass
class Products:
    """The asynchronous products of the statements lowered so far, by the buffers of their sums.

    `all` are those of the whole role; `groups` what was committed, oldest first; `open` what was not yet.
    """

    all: dict[Buffer, None] = field(default_factory=dict)
    groups: list[tuple[Buffer, ...]] = field(default_factory=list)
    open: list[Buffer] = field(default_factory=list)

    def issue(self, sums: Buffer) -> None:
        self.open.append(sums)

    def commit(self) -> None:
        self.groups.append(tuple(self.open))
        self.open.clear()

    def complete(self, pending: int) -> list[Buffer]:
        """The sums that may have changed once at most `pending` groups are in flight, loops taken into account."""
        running = {b for group in self.groups[len(self.groups) - pending :] for b in group} if pending else set()
        return [b for b in self.all if b not in running]
