"""The IR that every stage shares: scalar expressions, per-thread statements, buffers, launches.

Tile operations are in `ir/tile.py`. Nodes are frozen and compare by structure, but for `Var` and `Buffer`, which
compare by identity. `==` on nodes is therefore Python's; write `lt(a, b)`, `eq(a, b)` to build a comparison.
A program at the *tile stage* works on whole tiles; at the *thread stage* each statement is what one thread does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from tiledsl.errors import NOWHERE, Span
from tiledsl.ir.dtypes import BOOL, INDEX, DType
from tiledsl.ir.frozen import dataclass

if TYPE_CHECKING:
    from tiledsl.ir.layout import Fragment, Layout


class Node:
    __slots__ = ()


# ---------------------------------------------------------------------------------------------------- expressions


class Expr(Node):
    """A scalar. Operators only build nodes; `simplify` is the one place that rewrites them.

    Python integers become constants of the other operand's dtype.
    """

    __slots__ = ()

    def __add__(self, other: Operand) -> Expr:
        return _binary("+", self, other)

    def __radd__(self, other: Operand) -> Expr:
        return _binary("+", other, self)

    def __sub__(self, other: Operand) -> Expr:
        return _binary("-", self, other)

    def __rsub__(self, other: Operand) -> Expr:
        return _binary("-", other, self)

    def __mul__(self, other: Operand) -> Expr:
        return _binary("*", self, other)

    def __rmul__(self, other: Operand) -> Expr:
        return _binary("*", other, self)

    def __floordiv__(self, other: Operand) -> Expr:
        return _binary("//", self, other)

    def __mod__(self, other: Operand) -> Expr:
        return _binary("%", self, other)

    def __xor__(self, other: Operand) -> Expr:
        return _binary("^", self, other)


@dataclass(frozen=True, slots=True)
class Const(Expr):
    """A literal. The value of a float dtype is a Python float (inf and nan allowed), of bool a Python bool."""

    value: int | float | bool
    dtype: DType = INDEX


@dataclass(frozen=True, slots=True, eq=False)
class Var(Expr):
    name: str  # a hint; printers make it unique
    dtype: DType = INDEX


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    """`op` is a key of `ops.UNARY`."""

    op: str
    a: Expr


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    """`op` is a key of `ops.BINARY`; both operands have the same dtype. `//` and `%` are floor operations."""

    op: str
    a: Expr
    b: Expr


@dataclass(frozen=True, slots=True)
class Select(Expr):
    """`a` where `cond`, else `b`; only the chosen side is evaluated."""

    cond: Expr
    a: Expr
    b: Expr


class Rounding(Enum):
    NEAREST_EVEN = "rn"
    ZERO = "rz"
    DOWN = "rm"
    UP = "rp"
    NEAREST_AWAY = "rna"


@dataclass(frozen=True, slots=True)
class Cast(Expr):
    """Value conversion. Float to integer truncates; integers wrap unless `saturate`, which clamps to the range.

    To an 8-bit or smaller float, values out of range saturate to the largest finite one if `saturate`, else become
    infinity or NaN as the format has it.
    """

    dtype: DType
    a: Expr
    rounding: Rounding = Rounding.NEAREST_EVEN
    saturate: bool = False


@dataclass(frozen=True, slots=True)
class Reinterpret(Expr):
    """The same bits as another dtype of equal size."""

    dtype: DType
    a: Expr


@dataclass(frozen=True, slots=True)
class Load(Expr):
    """An element. `version` selects one of `buffer.versions` copies (None for a buffer of one version)."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    version: Expr | None = None


@dataclass(frozen=True, slots=True)
class Address(Expr):
    """A pointer to an element, for instructions and extern calls. Its dtype is HANDLE."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    version: Expr | None = None


@dataclass(frozen=True, slots=True)
class Descriptor(Expr):
    """Where a matrix of an asynchronous product lies in shared memory, in 64 bits: all in bytes. See isa/descriptor.py.

    `swizzle` is 0, 32, 64 or 128. Its dtype is uint64.
    """

    start: Address
    leading: int
    stride: int
    swizzle: int = 0


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A function of `ops.FUNCTIONS`; the dtype follows from the table and the first argument."""

    fn: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Extern(Expr):
    """A function that the user's own CUDA source defines. `pure` promises that it only computes its value."""

    fn: str
    args: tuple[Expr, ...]
    dtype: DType
    pure: bool = False


Operand: TypeAlias = Expr | int


def wrap(value: Operand, dtype: DType = INDEX) -> Expr:
    return value if isinstance(value, Expr) else Const(value, dtype)


def _binary(op: str, a: Operand, b: Operand) -> Expr:
    """For address arithmetic, where a Python integer is an index; other dtypes are spelled out with `Const`."""
    return Binary(op, wrap(a), wrap(b))


def lt(a: Operand, b: Operand) -> Expr:
    return _binary("<", a, b)


def le(a: Operand, b: Operand) -> Expr:
    return _binary("<=", a, b)


def ge(a: Operand, b: Operand) -> Expr:
    return _binary(">=", a, b)


def eq(a: Operand, b: Operand) -> Expr:
    return _binary("==", a, b)


TRUE, FALSE = Const(True, BOOL), Const(False, BOOL)


def all_of(conditions: list[Expr]) -> Expr:
    """Their conjunction; TRUE if there are none."""
    result: Expr = TRUE
    for c in conditions:
        if c != TRUE:
            result = c if result == TRUE else Binary("and", result, c)
    return result


# ------------------------------------------------------------------------------------------------------- buffers


class Space(Enum):
    """Where a buffer lives. FRAGMENT is a tile spread over the registers of a block: the tile stage only."""

    GLOBAL = "global"
    SHARED = "shared"
    FRAGMENT = "fragment"
    LOCAL = "local"  # an array private to each thread
    VAR = "var"  # a mutable scalar private to each thread; its shape is ()
    BARRIER = "barrier"  # mbarriers in shared memory


Extent: TypeAlias = int | Expr  # dynamic extents are expressions over the kernel's scalar parameters


@dataclass(frozen=True, slots=True, eq=False)
class Buffer(Node):
    """Memory for a tensor of `shape`. Only global buffers have dynamic extents or explicit `strides` (elements).

    With `versions` > 1 there are that many copies, and every access says which one. Buffers compare by identity.
    """

    name: str
    shape: tuple[Extent, ...]
    dtype: DType
    space: Space = Space.GLOBAL
    strides: tuple[Extent, ...] | None = None  # None: row-major contiguous
    versions: int = 1


def static_shape(buffer: Buffer) -> tuple[int, ...]:
    """The shape as integers. Raises TypeError for a dynamic extent."""
    for extent in buffer.shape:
        if not isinstance(extent, int):
            raise TypeError(f"'{buffer.name}' has a dynamic extent")
    return buffer.shape  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Region(Node):
    """The box of `extents` elements at `offsets`; both have the rank of the buffer. Extents are static."""

    buffer: Buffer
    offsets: tuple[Expr, ...]
    extents: tuple[int, ...]
    version: Expr | None = None


# ----------------------------------------------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Stmt(Node):
    span: Span = field(default=NOWHERE, compare=False, repr=False)


Block: TypeAlias = tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Let(Stmt):
    """Binds `var` for the rest of the enclosing block."""

    var: Var
    value: Expr


@dataclass(frozen=True, slots=True)
class Alloc(Stmt):
    """Makes `buffer` usable for the rest of the enclosing block.

    `init` sets a VAR, or is the number of arrivals that complete a phase of a BARRIER.
    """

    buffer: Buffer
    init: Expr | None = None


@dataclass(frozen=True, slots=True)
class View(Stmt):
    """Binds `buffer` to the storage of `source`: same bits in row-major order, another shape or dtype."""

    buffer: Buffer
    source: Buffer


@dataclass(frozen=True, slots=True)
class Store(Stmt):
    """One element. `asynchronous` asks for cp.async: the value is then a plain global load into shared memory."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    value: Expr
    version: Expr | None = None
    asynchronous: bool = False


@dataclass(frozen=True, slots=True)
class Serial:
    """One iteration after the other."""


@dataclass(frozen=True, slots=True)
class Unrolled:
    """Serial, unrolled `factor` times (0: wholly); `explicit` unrolls in the IR, else the C++ compiler does it."""

    factor: int = 0
    explicit: bool = False


@dataclass(frozen=True, slots=True)
class Vectorized:
    """Iterations are lanes of one vector access; the extent is a constant."""


@dataclass(frozen=True, slots=True)
class Pipelined:
    """Serial, to be overlapped: `stages` tiles in flight (0: plain serial).

    `order` and `stage`, if not empty, are the user's schedule: one entry per statement of the body that is scheduled.
    `group` lists statement numbers that are committed together; `sync` is accepted for its spelling.
    """

    stages: int = 0
    order: tuple[int, ...] = ()
    stage: tuple[int, ...] = ()
    group: tuple[tuple[int, ...], ...] = ()
    sync: tuple[tuple[int, ...], ...] = ()

    @property
    def by_hand(self) -> bool:
        """Whether the schedule is the user's. TileLang's -1 stands for copies of a producer: the compiler schedules."""
        return bool(self.stage or self.order) and -1 not in (*self.stage, *self.order)


@dataclass(frozen=True, slots=True)
class Persistent:
    """Tiles dealt to resident blocks in turn, `group` rows at a time."""

    group: int = 8


LoopKind: TypeAlias = Serial | Unrolled | Vectorized | Pipelined | Persistent


@dataclass(frozen=True, slots=True)
class For(Stmt):
    """`var` runs from 0 to `extent` - 1. The frontend rewrites other starts and steps to this form."""

    var: Var
    extent: Expr
    body: Block
    kind: LoopKind = Serial()


@dataclass(frozen=True, slots=True)
class While(Stmt):
    cond: Expr
    body: Block


@dataclass(frozen=True, slots=True)
class Break(Stmt):
    """Leaves the innermost `For` or `While`."""


@dataclass(frozen=True, slots=True)
class Continue(Stmt):
    """Goes on with the next iteration of the innermost `For` or `While`."""


@dataclass(frozen=True, slots=True)
class If(Stmt):
    cond: Expr
    then: Block
    orelse: Block = ()


@dataclass(frozen=True, slots=True)
class Evaluate(Stmt):
    """Evaluates an expression for its effect."""

    value: Expr


@dataclass(frozen=True, slots=True)
class AtomicUpdate(Stmt):
    """`buffer[indices] = op(buffer[indices], value)` in one step; `result`, if any, is bound to the old value.

    `op` is add, max, min, and, or, xor, exch, load or store; `order` a C++ memory order (relaxed, acquire, ...).
    """

    op: str
    buffer: Buffer
    indices: tuple[Expr, ...]
    value: Expr
    order: str = "relaxed"
    result: Var | None = None


@dataclass(frozen=True, slots=True)
class Barrier(Stmt):
    """All threads of the block, or `count` threads on barrier `id`, arrive before any leaves."""

    id: int = 0
    count: int = 0  # 0: the whole block


@dataclass(frozen=True, slots=True)
class AsyncCommit(Stmt):
    """Closes the group of what this thread has issued to `queue` since the last commit.

    "copy": cp.async copies. "product": asynchronous products of a warpgroup. "store": stores of the copy engine.
    """

    queue: str = "copy"


@dataclass(frozen=True, slots=True)
class AsyncWait(Stmt):
    """Waits until at most `pending` of this thread's committed groups of `queue` are in flight.

    At the tile stage the data is then visible to every thread that passes the next barrier. With `sources` stores need
    only have read what they store.
    """

    pending: int
    queue: str = "copy"
    sources: bool = False


@dataclass(frozen=True, slots=True)
class AtomCall(Stmt):
    """One instruction of the table `isa`, by name. Arguments are addresses of registers and memory, and scalars."""

    atom: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Move(Stmt):
    """`lanes` consecutive elements in one access, between a LOCAL buffer and memory. Both addresses are aligned."""

    dst: Address
    src: Address
    lanes: int


@dataclass(frozen=True, slots=True)
class Print(Stmt):
    """Prints `message` and the values of scalars, or a whole tile once per block if `buffer` is given."""

    message: str
    args: tuple[Expr, ...] = ()
    buffer: Buffer | None = None

    @property
    def title(self) -> str:
        """How each line of a tile begins: with `message` and the name of the buffer."""
        name = self.buffer.name if self.buffer is not None else ""
        return name if self.message == name else f"{self.message} {name}".strip()


@dataclass(frozen=True, slots=True)
class Assert(Stmt):
    cond: Expr
    message: str = ""


@dataclass(frozen=True, slots=True)
class Assume(Stmt):
    """A promise by the user that `cond` holds here; bounds and alignment may use it, the CPU executions check it."""

    cond: Expr


# --------------------------------------------------------------------------------------------------- whole kernels


@dataclass(frozen=True, slots=True)
class Assigned(Node):
    """The layout of a buffer. `why` says who demanded it: "user" for an annotation, else the rule's reason."""

    buffer: Buffer
    layout: Fragment | Layout
    why: str = field(default="user", compare=False)


@dataclass(frozen=True, slots=True)
class SafeValue(Node):
    """What a guarded load of `buffer` yields out of bounds, in place of 0."""

    buffer: Buffer
    value: Expr


@dataclass(frozen=True, slots=True)
class SharedSlot(Node):
    """Where plan-shared-memory puts `buffer`: `offset` bytes into the block's shared memory."""

    buffer: Buffer
    offset: int


@dataclass(frozen=True, slots=True)
class Handover(Node):
    """The user's wish for a producer: it copies these tiles, in `depth` versions, each with one pair of barriers."""

    tiles: tuple[Buffer, ...]
    depth: int
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Persisting(Node):
    """The launch asks the L2 cache to keep this share (above 0, up to 1) of the lines of `buffer` that it reads."""

    buffer: Buffer
    ratio: float


@dataclass(frozen=True, slots=True)
class Raster:
    """Order in which blocks are dealt: panels of `panel` rows or columns, for reuse in the L2 cache."""

    panel: int
    order: str = "row"


@dataclass(frozen=True, slots=True)
class Launch(Node):
    """One `__global__` function: `grid` blocks (indices `blocks`, x first) of prod(threads) threads (index `thread`).

    Threads are numbered linearly, x fastest. `shared_bytes` is what plan-shared-memory found. `registers` are the
    user's, for a thread that copies and one that computes where the compiler makes roles: 0 as many as at launch.
    `entry`, if any, is a `__global__` function of the user's own in the kernel's `source`: the body is one call of it
    with what the launch passes (`ir/foreign.py`), and `shared_bytes` are what the user asks for.
    `handovers`, if any, are the user's choice of what the producer copies, until warp-specialise. `notes` say to people
    what passes decided.
    """

    name: str
    grid: tuple[Expr, ...]
    blocks: tuple[Var, ...]
    threads: tuple[int, ...]
    thread: Var
    body: Block
    layouts: tuple[Assigned, ...] = ()
    safe_values: tuple[SafeValue, ...] = ()
    shared: tuple[SharedSlot, ...] = ()
    shared_bytes: int = 0
    cluster: tuple[int, ...] = ()
    raster: Raster | None = None
    min_blocks: int = 0
    registers: tuple[int, ...] = ()
    handovers: tuple[Handover, ...] = ()
    entry: str = ""
    persisting: tuple[Persisting, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)
    span: Span = field(default=NOWHERE, compare=False, repr=False)

    @property
    def num_threads(self) -> int:
        result = 1
        for t in self.threads:
            result *= t
        return result


@dataclass(frozen=True, slots=True)
class Reference:
    """What a function of the user's own CUDA text computes, in Python: pointers are arrays.

    It is called for one thread; that of a `__global__` function (`Launch.entry`) once for the whole launch.
    """

    name: str
    function: Callable[..., Any]

    def __reduce__(self) -> tuple[Callable[..., Reference], tuple[str, Callable[..., Any]]]:
        """In another process a function that no module has by its name is a mystery; the executions there say so."""
        home = getattr(sys.modules.get(self.function.__module__ or ""), getattr(self.function, "__name__", ""), None)
        return Reference, (self.name, self.function if home is self.function else unknown)


def unknown(*_args: Any) -> Any:
    """Stands for a reference that did not travel to this process."""
    raise RuntimeError("the Python reference of this function is not a function of a module, and does not travel")


Param: TypeAlias = Buffer | Var


@dataclass(frozen=True, slots=True)
class Kernel(Node):
    """The root. `params` in the order of the call: tensors and scalars; `sizes` are the dynamic extents.

    `sizes` are non-negative and bound from the tensors' shapes. `scratch` are global buffers that the host allocates;
    `results` those parameters that the host allocates and returns. `source` is CUDA text of the user's own (extern), of
    whose functions `references` say what they compute. `flags` is NVRTC told beside the target. Parameters that are
    `overlapping` may share memory; for `pointers` the caller passes memory of any shape. `options` of passes, (pass,
    name, value), are the user's, until the passes run.
    """

    name: str
    params: tuple[Param, ...]
    launches: tuple[Launch, ...]
    sizes: tuple[Var, ...] = ()
    scratch: tuple[Buffer, ...] = ()
    results: tuple[Buffer, ...] = ()
    source: str = ""
    span: Span = field(default=NOWHERE, compare=False, repr=False)
    references: tuple[Reference, ...] = field(default=(), compare=False, repr=False)
    flags: tuple[str, ...] = ()
    overlapping: tuple[Buffer, ...] = ()
    pointers: tuple[Buffer, ...] = ()
    options: tuple[tuple[str, str, Any], ...] = field(default=(), compare=False, repr=False)
