"""The state of one trace: open blocks, launches, parameters. One is in force while a kernel function runs.

It is the one context variable of the project, because `T.copy(a, b)` has no argument to carry it; nothing outside
`frontend/` and `language/` reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from tiledsl.errors import NOWHERE, Span
from tiledsl.frontend.source import Positions, fail, here
from tiledsl.ir.nodes import (
    Alloc,
    Assigned,
    AtomicUpdate,
    Barrier,
    Buffer,
    Expr,
    Handover,
    Launch,
    Param,
    Persisting,
    Raster,
    Reference,
    SafeValue,
    Stmt,
    Store,
    Var,
)
from tiledsl.ir.tile import Atomic, Copy, Fill, Gemm, Rearrangement, Reduce, Scan


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What is known about a tensor argument before tracing. `strides` in elements; None for row-major contiguous."""

    shape: tuple[int, ...]
    dtype: str
    strides: tuple[int, ...] | None = None


@dataclass(eq=False, slots=True)
class Frame:
    """A block under construction. Traced values know the innermost frame they depend on and die with it."""

    kind: str  # launch, role, if, for, while, parallel
    what: str  # for messages: "the loop over 'k'"
    parent: Frame | None
    span: Span = NOWHERE
    block: list[Stmt] = field(default_factory=list)
    depth: int = 0
    open: bool = True


@dataclass(eq=False, slots=True)
class LaunchFrame(Frame):
    """The block of a `with T.Kernel(...)`, and what annotations said about it."""

    grid: tuple[Expr, ...] = ()
    blocks: tuple[Var, ...] = ()
    threads: tuple[int, ...] = (128,)
    thread: Var = field(default_factory=lambda: Var("thread"))
    layouts: list[Assigned] = field(default_factory=list)
    safe_values: list[SafeValue] = field(default_factory=list)
    raster: Raster | None = None
    cluster: tuple[int, ...] = ()
    min_blocks: int = 0
    persisting: tuple[Persisting, ...] = ()
    registers: tuple[int, ...] = ()
    handovers: tuple[Handover, ...] = ()
    has_roles: bool = False  # perhaps: T.ws blocks, or branches with barriers that divide the threads alike
    combiner: object = None  # how T.tvm_thread_allreduce combines, in a block of T.attr
    copies_late: bool = False  # in a T.attr(..., "async_scope", 1) block
    reducers: dict[Buffer, str] = field(default_factory=dict)  # of T.alloc_reducer, with what each computes
    schedule: object = None  # of T.annotate_ws_schedule, with roles
    operations: dict[str, tuple[Stmt, ...]] = field(default_factory=dict)  # of T.ws_op
    random: list[object] = field(default_factory=list)  # what T.rng_init said, the innermost last
    barriers: Buffer | None = None  # of T.create_list_of_mbarrier, which words name by number
    meetings: list[Barrier] = field(default_factory=list)  # of T.sync_grid
    axes: dict[str, tuple[Var, Expr]] | None = None  # of T.launch_thread, with their extents


@dataclass(eq=False, slots=True)
class RoleFrame(Frame):
    """The block of a `with T.ws(...)`: its threads, numbered from 0 by `thread`."""

    first: int = 0
    threads: int = 0
    thread: Var = field(default_factory=lambda: Var("t"))
    registers: int = 0


@dataclass(eq=False, slots=True)
class BoxFrame(Frame):
    """The body of a T.Parallel loop: the work of one of its points."""

    variables: tuple[Var, ...] = ()
    extents: tuple[int, ...] = ()


@dataclass(eq=False, slots=True)
class Activation:
    """One running function of the user: the kernel function or a macro. `base` is the frame it was called in."""

    name: str
    base: Frame | None
    loops: list[tuple[bool, Frame | None]] = field(default_factory=list)  # is it traced, and the frame around it


class Tracer:
    """Collects the statements of one kernel. `const_sizes`, of `T.const`, are None while they are being found."""

    def __init__(self, name: str, tensors: Mapping[str, TensorSpec], *, const_sizes: Mapping[str, int] | None) -> None:
        self.name = name
        self.tensors = tensors
        self.const_sizes = const_sizes
        self.found_sizes: dict[str, int] = {}
        self.frame: Frame | None = None
        self.activations: list[Activation] = []
        self.launches: list[Launch] = []
        self.params: dict[str, Param] = {}
        self.undeclared: set[str] = set()  # tensor parameters of the constant style not seen so far
        self.empties: list[Buffer] = []
        self.results: list[Buffer] = []
        self.scratch: list[Buffer] = []
        self.hints: list[str] = []
        self.writes: dict[Buffer, int] = {}
        self.storage: dict[Buffer, Buffer] = {}  # view -> what it is a view of
        self.source: list[str] = []
        self.references: dict[str, Reference] = {}
        self.flags: list[str] = []  # of NVRTC
        self.options: dict[tuple[str, str], object] = {}  # of passes
        self.overlapping: dict[Buffer, None] = {}
        self.pointers: dict[Buffer, None] = {}  # parameters that T.make_tensor made of pointers
        self.at_end: list[Callable[[], None]] = []  # what is open until the kernel function returns
        self._positions: dict[int, Positions] = {}

    def here(self) -> Span:
        """The place in the user's text that is being executed."""
        return here(self._positions)

    # ------------------------------------------------------------------------------------------------- statements

    def emit(self, stmt: Stmt) -> None:
        """Appends `stmt` to the innermost open block."""
        assert self.frame is not None
        self.frame.block.append(stmt)
        written = written_by(stmt)
        if written is not None:
            self.wrote(written)

    def wrote(self, buffer: Buffer) -> None:
        """Values read from `buffer` before are old now."""
        root = self.storage_of(buffer)
        self.writes[root] = self.writes.get(root, 0) + 1

    def storage_of(self, buffer: Buffer) -> Buffer:
        """The buffer that holds the bits of `buffer`, which may be a view of a view."""
        while buffer in self.storage:
            buffer = self.storage[buffer]
        return buffer

    def open(self, frame: Frame) -> None:
        frame.parent = self.frame
        frame.depth = self.frame.depth + 1 if self.frame is not None else 0
        self.frame = frame

    def close(self, frame: Frame) -> tuple[Stmt, ...]:
        """Ends the innermost block and returns its statements."""
        assert frame is self.frame
        frame.open = False
        self.frame = frame.parent
        return tuple(frame.block)

    def emit_after(self, frame: Frame, build: Callable[[tuple[Stmt, ...]], Stmt]) -> None:
        """Ends the innermost block and appends the statement that holds it."""
        self.emit(build(self.close(frame)))

    def enclosing(self, kind: str) -> Frame | None:
        """The innermost open frame of that kind."""
        frame = self.frame
        while frame is not None and frame.kind != kind:
            frame = frame.parent
        return frame

    def launch(self, word: str) -> LaunchFrame:
        """The open `with T.Kernel(...)`. Raises TileError TD0105 if there is none, TD0147 before sizes are known."""
        frame = self.enclosing("launch")
        if not isinstance(frame, LaunchFrame):
            raise fail("TD0147" if self.const_sizes is None else "TD0105", word=word)
        return frame

    def role(self) -> RoleFrame | None:
        """The open `with T.ws(...)`, if there is one."""
        frame = self.enclosing("role")
        return frame if isinstance(frame, RoleFrame) else None

    # ------------------------------------------------------------------------------------------------------ names

    def hint(self, names: Sequence[str]) -> None:
        """The names to which the values of the coming expression will be assigned."""
        self.hints = list(names)

    def take_name(self, default: str) -> str:
        """A name for a new buffer: that of the assignment it stands in, if there is one."""
        if not self.hints:
            return default
        return self.hints.pop(0) if len(self.hints) > 1 else self.hints[0]


def written_by(stmt: Stmt) -> Buffer | None:
    """The memory that the statement itself writes, as a whole."""
    match stmt:
        case Store(buffer) | AtomicUpdate(_, buffer):
            return buffer
        case Copy(dst=dst) | Fill(dst) | Reduce(dst=dst) | Scan(dst=dst) | Atomic(dst=dst) | Rearrangement(dst=dst):
            return dst.buffer
        case Gemm(c=dst):
            return dst.buffer
        case Alloc(buffer):
            return buffer
    return None


_CURRENT: ContextVar[Tracer | None] = ContextVar("tiledsl_tracer", default=None)


def tracing() -> Tracer | None:
    """The tracer in force."""
    return _CURRENT.get()


def tracer_of(word: str) -> Tracer:
    """The tracer in force. Raises TileError TD0104, naming the word that was called outside a kernel."""
    tracer = _CURRENT.get()
    if tracer is None:
        raise fail("TD0104", word=word)
    return tracer


class in_force:
    """`with in_force(tracer):` makes it the current one."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer

    def __enter__(self) -> Tracer:
        self.token = _CURRENT.set(self.tracer)
        return self.tracer

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self.token)
