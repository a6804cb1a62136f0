"""What the lowering of a launch knows and collects: layouts, storage, ranges, the binds at the top of the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from tiledsl.errors import VerifyError
from tiledsl.ir.dtypes import DType
from tiledsl.ir.layout import Fragment, Layout, row_major
from tiledsl.ir.nodes import Buffer, Const, Expr, Launch, Let, Space, Stmt, Var, static_shape
from tiledsl.ir.simplify import Simplifier
from tiledsl.passes.lower_tiles.uniform import differing
from tiledsl.target import Target


class Context:
    """Grows while a launch is lowered; `prologue` is put in front of the lowered body.

    A value bound there depends on nothing but the thread, so it is computed once and outside of all loops.
    """

    def __init__(self, launch: Launch, target: Target) -> None:
        self.target = target
        self.thread = launch.thread
        self.num_threads = launch.num_threads
        self.layouts = {a.buffer: a.layout for a in launch.layouts}
        self.sources: dict[Buffer, Buffer] = {}  # a view to the buffer that it shows
        self.storage: dict[Buffer, Buffer] = {}
        self.differing = differing(launch)
        self.prologue: list[Stmt] = []
        self.thread_vars: set[Var] = {self.thread}
        self.digit_vars: set[Var] = set()
        self.ranges: dict[Var, tuple[float, float]] = {self.thread: (0, self.num_threads - 1)}
        self._simplifier = Simplifier(self.ranges)
        self._bound: dict[Expr, Var] = {}
        self._digits: dict[tuple[int, int], Expr] = {}
        self._registers: dict[tuple[object, ...], Expr] = {}

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

    def bind(self, name: str, value: Expr) -> Expr:
        """A variable bound to `value` at the top of the kernel; `value` mentions only such variables and the thread."""
        if isinstance(value, Var | Const):
            return value
        if value not in self._bound:
            low, high = self.bounds(value)
            if low == high:
                return Const(int(low))
            var = Var(name)
            self.ranges[var] = (low, high)
            self.thread_vars.add(var)
            self.prologue.append(Let(var, value))
            self._bound[value] = var
        return self._bound[value]
