"""Facts about kernels: functions that check the kernel in hand and raise VerifyError where the fact does not hold.

Passes name them in `requires` and `ensures`.
"""

from __future__ import annotations

from tiledsl.errors import NOWHERE, Span, VerifyError
from tiledsl.ir.dtypes import INDEX, Kind
from tiledsl.ir.nodes import (
    Alloc,
    AtomCall,
    Binary,
    Buffer,
    Cast,
    Const,
    For,
    Kernel,
    Space,
    Store,
    Unary,
    Unrolled,
    Var,
    Vectorized,
)
from tiledsl.ir.tile import TILE_OPS, Atomic, Copy, Fill, Parallel, Rearrangement
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import statements, walk
from tiledsl.isa.atom import OF_TILES
from tiledsl.isa.table import atom_named


def _fail(fact: str, what: str, span: Span = NOWHERE) -> None:
    raise VerifyError(f"the fact '{fact}' does not hold: {what}", span)


_OF_THREADS = ("Move", "InitBarrier", "TensorCopy", "BulkMove", "Hold")


def tile_stage(kernel: Kernel) -> None:
    """No statement of the thread stage alone: nothing has been lowered yet."""
    for s in statements(kernel):
        atom = atom_named(s.atom) if isinstance(s, AtomCall) else None
        if type(s).__name__ in _OF_THREADS or (atom is not None and atom.kind not in OF_TILES):
            _fail("tile stage", f"{type(s).__name__} belongs to the thread stage", s.span)


def layouts_assigned(kernel: Kernel) -> None:
    """Every fragment and shared tile has a layout, and every element-wise statement is a loop with one.

    What the copy engine does is no loop.
    """
    for launch in kernel.launches:
        known = {a.buffer for a in launch.layouts}
        inside = {inner for s in statements(launch) if isinstance(s, Parallel) for inner in map(id, statements(s))}
        for s in statements(launch):
            bare = isinstance(s, Parallel) and s.layout is None and id(s) not in inside
            element_wise = isinstance(s, (Copy, Fill, Atomic, Rearrangement)) and not getattr(s, "bulk", False)
            if bare or element_wise:
                _fail("layouts assigned", f"{type(s).__name__} has no loop layout", s.span)
            if isinstance(s, Alloc) and s.buffer.space in (Space.FRAGMENT, Space.SHARED) and s.buffer not in known:
                _fail("layouts assigned", f"'{s.buffer.name}' has none", s.span)


def thread_stage(kernel: Kernel) -> None:
    """No tile operation and no fragment is left: each statement is what one thread does."""
    for s in statements(kernel):
        if isinstance(s, TILE_OPS):
            _fail("thread stage", f"{type(s).__name__} has not been lowered", s.span)
        buffer = getattr(s, "buffer", None)
        if isinstance(buffer, Buffer) and buffer.space is Space.FRAGMENT:
            _fail("thread stage", f"'{buffer.name}' is still a fragment", s.span)


def vector_loops_lowered(kernel: Kernel) -> None:
    """No loop is marked Vectorized any more."""
    for s in statements(kernel):
        if isinstance(s, For) and isinstance(s.kind, Vectorized):
            _fail("vector loops lowered", f"the loop over '{s.var.name}' is still vectorised", s.span)


def no_asynchronous_stores(kernel: Kernel) -> None:
    """What was to be copied by cp.async is an instruction now, or an ordinary store."""
    for s in statements(kernel):
        if isinstance(s, Store) and s.asynchronous:
            _fail("no asynchronous stores", f"the store to '{s.buffer.name}' is still asynchronous", s.span)


def explicit_unrolls_done(kernel: Kernel) -> None:
    """No loop waits to be unrolled in the IR."""
    for s in statements(kernel):
        if isinstance(s, For) and isinstance(s.kind, Unrolled) and s.kind.explicit:
            _fail("explicit unrolls done", f"the loop over '{s.var.name}' is not unrolled", s.span)


def wide_arithmetic(kernel: Kernel) -> None:
    """Arithmetic is on float32, float64 and integers of at least 32 bits."""
    for node in walk(kernel):
        if isinstance(node, (Binary, Unary)):
            dtype = dtype_of(node.a)
            is_narrow = dtype.bits < 32 and dtype.kind in (Kind.FLOAT, Kind.INT, Kind.UINT)
            if is_narrow:
                _fail("wide arithmetic", f"'{node.op}' on {dtype}")


def no_index_left(kernel: Kernel) -> None:
    """Every integer has a machine width."""
    for node in walk(kernel):
        if isinstance(node, (Var, Const, Cast, Buffer)) and node.dtype is INDEX:
            _fail("no index left", f"{node} is an index")
