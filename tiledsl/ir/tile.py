"""Statements on whole tiles. Each is executed by all threads of the block together.

Where two regions take part, dimensions of extent 1 are dropped on both sides before they are matched in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from tiledsl.ir.frozen import dataclass
from tiledsl.ir.im2col import Window
from tiledsl.ir.nodes import Address, Block, Buffer, Expr, Kernel, Node, Region, Space, Stmt, Var
from tiledsl.ir.walk import walk

if TYPE_CHECKING:
    from tiledsl.ir.layout import Fragment


@dataclass(frozen=True, slots=True)
class Im2col(Node):
    """The box of `extents` elements at `offsets` of the matrix of a convolution (`ir/im2col.py`).

    `buffer` is the image N, H, W, C. What lies outside of it, or of the matrix, reads as 0 or its safe value.
    """

    buffer: Buffer
    offsets: tuple[Expr, ...]
    extents: tuple[int, ...]
    kernel: int
    stride: int
    dilation: int
    pad: int

    @property
    def version(self) -> None:
        """Images are in global memory, which has no versions."""

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.dilation, self.pad)


Source: TypeAlias = Region | Im2col
Point: TypeAlias = tuple[Any, ...]


def region_of(source: Source) -> Region:
    """`source` where it can only be a region: the matrix of a convolution is read, from global memory."""
    if isinstance(source, Im2col):
        raise TypeError(f"a box of the matrix of '{source.buffer.name}' stands where a region does")
    return source


@dataclass(frozen=True, slots=True)
class Copy(Stmt):
    """`dst[...] = cast(src[...])`. What is read outside `src.buffer` is 0 or its safe value; what would be written
    outside `dst.buffer` is not. `width` fixes the elements per access, 0 lets the compiler choose.

    `asynchronous` is set by the pipeline: the copy may become cp.async, ordered by AsyncCommit and AsyncWait.
    `bulk`: the copy engine moves it. A load then completes on `barrier`, on which its bytes have been expected; a store
    belongs to the queue "store". `ranks` is a mask of the blocks of the cluster that a load goes to (0: this one).
    With a `rank` both sides are in shared memory, `dst` in that of the block of this rank of the cluster; it completes
    on `barrier` there. `engine` is "threads" where the user forbids the copy engine, "" where the compiler may choose.
    """

    src: Source
    dst: Region
    width: int = 0
    asynchronous: bool = False
    bulk: bool = False
    barrier: Address | None = None
    ranks: int = 0
    engine: str = ""
    rank: Expr | None = None


@dataclass(frozen=True, slots=True)
class Fill(Stmt):
    dst: Region
    value: Expr


@dataclass(frozen=True, slots=True)
class Gemm(Stmt):
    """`c += a @ b`, or `c = a @ b` if `clear`. a is (m, k), or (k, m) with `transpose_a`; b (k, n), or (n, k).

    `policy` (square, full_row, full_col) deals the warps to rows and columns. `precision` is "ieee", or "tf32" to let
    float32 operands be read as tfloat32 by the tensor core. `wait` is the number of such operations that may stay in
    flight afterwards (asynchronous instructions only). `asynchronous`: the product is only issued, to the queue
    "product", and its operands belong to the tensor core until it has been committed and waited for.

    With `e` a sparse matrix is multiplied: a (m, k / 2) has two of any four neighbours along k, and the fragment e
    (m, k / 16) says which (`isa/sparse.py`).
    """

    a: Region
    b: Region
    c: Region
    transpose_a: bool = False
    transpose_b: bool = False
    clear: bool = False
    policy: str = "square"
    precision: str = "ieee"
    wait: int = 0
    asynchronous: bool = False
    e: Region | None = None


REDUCTIONS = ("sum", "max", "min", "abssum", "absmax", "bitand", "bitor", "bitxor")


@dataclass(frozen=True, slots=True)
class Reduce(Stmt):
    """`dst[...] = op over dim of src[...]`, combined with the old value of dst unless `clear`.

    dst has the shape of src without `dim`, or with extent 1 there.
    """

    src: Region
    dst: Region
    op: str
    dim: int
    clear: bool = True


@dataclass(frozen=True, slots=True)
class Scan(Stmt):
    """Inclusive prefix `op` (sum, max) along `dim`, from the end if `reverse`."""

    src: Region
    dst: Region
    op: str
    dim: int
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Atomic(Stmt):
    """`dst[...] = op(dst[...], src[...])` element by element, each in one step (add, max, min).

    `bulk`: the copy engine does it, from shared to global memory, in the queue "store". `engine` is "copies" where the
    user asks for that, if the copy engine can do it.
    """

    op: str
    dst: Region
    src: Region
    order: str = "relaxed"
    bulk: bool = False
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Rearrangement(Stmt):
    """`dst[...] = cast(src[...])` with the elements in other places, which each class says.

    Points leave out dimensions of extent 1; their coordinates are expressions, numbers, or arrays of numbers. What a
    class of REARRANGEMENTS says here and its meaning in `cpu/tile_ops.py` are all that there is to say: text, rules,
    accesses, layouts and lowering follow.
    """

    src: Region
    dst: Region
    word: ClassVar[str]  # in the text form and in the language

    def extents_of(self, src: tuple[int, ...]) -> tuple[int, ...] | None:
        """The extents of dst for those of src; None where nothing of these extents can be rearranged so."""
        raise NotImplementedError

    def goes_to(self, point: Point, src: tuple[int, ...]) -> Point:
        """Where in dst the element at a point of src is; `src` are the extents of src."""
        raise NotImplementedError

    def comes_from(self, point: Point, src: tuple[int, ...]) -> Point:
        """Where in src the element at a point of dst is: the inverse of `goes_to`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Transpose(Rearrangement):
    """`dst[j, i] = src[i, j]`."""

    word = "transpose"

    def extents_of(self, src: tuple[int, ...]) -> tuple[int, ...] | None:
        return src[::-1] if len(src) <= 2 else None

    def goes_to(self, point: Point, src: tuple[int, ...]) -> Point:
        return point[::-1]

    def comes_from(self, point: Point, src: tuple[int, ...]) -> Point:
        return point[::-1]


REARRANGEMENTS: tuple[type[Rearrangement], ...] = (Transpose,)


@dataclass(frozen=True, slots=True)
class Parallel(Stmt):
    """`body` once for every point of the box `extents`, in no order, dealt to the threads of the block.

    `layout`, which infer-layouts sets, says which thread executes which points; `width` is the user's vector width.
    """

    vars: tuple[Var, ...]
    extents: tuple[int, ...]
    body: Block
    width: int = 0
    layout: Fragment | None = None


TILE_OPS = (Copy, Fill, Gemm, Reduce, Scan, Atomic, *REARRANGEMENTS, Parallel)


def is_tile_stage(kernel: Kernel) -> bool:
    """Whether tile statements or fragments are left."""
    return any(isinstance(n, TILE_OPS) or (isinstance(n, Buffer) and n.space is Space.FRAGMENT) for n in walk(kernel))
