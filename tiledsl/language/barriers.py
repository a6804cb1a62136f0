"""Words on mbarriers: barriers in shared memory, which count arrivals and bytes, phase by phase.

The phases of a barrier are numbered 0, 1, ... and told apart by parity. `T.barrier_wait(bar, p)` passes when the phase
in progress does not have parity p: with 0 it waits for the first phase, with 1 it passes at once on a fresh barrier.
Source: PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier".
"""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.proxies import Scalar, converted, describe, expr_of, index_of, operand
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import BarrierElement, Tensor
from tiledsl.frontend.tracer import Tracer, tracer_of
from tiledsl.frontend.typenames import literal
from tiledsl.ir.concurrent import Arrive, Await, Expect
from tiledsl.ir.dtypes import BOOL, INDEX, UINT64
from tiledsl.ir.nodes import Address, Alloc, Buffer, Const, Expr, Space, Stmt
from tiledsl.language.arguments import whole
from tiledsl.language.clusters import mask_of
from tiledsl.language.sizes import const_sizes
from tiledsl.language.tiles import begin

_MOST_BYTES = (1 << 20) - 1  # of a phase; PTX ISA, "mbarrier: contents of the mbarrier object"


def _allocate(word: str, counts: Any, name: str) -> Tensor:
    tracer = tracer_of(word)
    tracer.launch(word)
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word=word)
    numbers = const_sizes(list(counts) if isinstance(counts, (list, tuple)) else [counts], word)
    if len(set(numbers)) != 1:
        allowed = "equal counts; barriers of different counts are allocated one by one"
        raise fail("TD0226", word=word, name="arrive_count", value=describe(numbers), allowed=allowed)
    if numbers[0] > _MOST_BYTES:
        raise fail("TD0226", word=word, name="arrive_count", value=numbers[0], allowed=f"1 to {_MOST_BYTES}")
    buffer = Buffer(name, (len(numbers),), UINT64, Space.BARRIER)
    tracer.emit(Alloc(buffer, literal(numbers[0], UINT64), span=tracer.here()))
    return Tensor(buffer, tracer.frame)


def alloc_barrier(arrive_count: Any = 1) -> Tensor:
    """An mbarrier in shared memory: a phase ends when `arrive_count` threads have arrived.

    `bar = T.alloc_barrier(128)`. A list of equal counts, `bars = T.alloc_barrier([128, 128])`, makes several,
    `bars[0]`, `bars[1]`, whose number need not be a constant. Raises TileError TD0129 in a T.Parallel loop, TD0226 for
    counts that differ. Source: PTX ISA, "mbarrier.init".
    """
    return _allocate("T.alloc_barrier", arrive_count, tracer_of("T.alloc_barrier").take_name("barrier"))


def create_list_of_mbarrier(*arrive_counts: Any) -> None:
    """Makes the mbarriers that T.get_mbarrier names, and a number given to a barrier word: one for each count.

    `T.create_list_of_mbarrier(128, 128)`, once, in the T.Kernel block itself (TD0250); the counts are equal (TD0226).
    """
    word = "T.create_list_of_mbarrier"
    counts = (
        arrive_counts[0] if len(arrive_counts) == 1 and isinstance(arrive_counts[0], (list, tuple)) else arrive_counts
    )
    frame = tracer_of(word).launch(word)
    if frame.barriers is not None or tracer_of(word).frame is not frame:
        raise fail("TD0250", word=word, value="a second list", hint="make one list, at the start of the T.Kernel block")
    frame.barriers = _allocate(word, counts, "mbarrier").buffer


def get_mbarrier(barrier_id: Any) -> Any:
    """The mbarrier number `barrier_id` of T.create_list_of_mbarrier (TD0250 without one).

    `full = T.get_mbarrier(k % 2)`.
    """
    return _numbered("T.get_mbarrier", barrier_id)


def _numbered(word: str, number: Any) -> BarrierElement:
    frame = tracer_of(word).launch(word)
    if frame.barriers is None:
        hint = "make barriers with T.alloc_barrier, or a list of them with T.create_list_of_mbarrier first"
        raise fail("TD0250", word=word, value=describe(number), hint=hint)
    found = Tensor(frame.barriers, frame)[number]
    assert isinstance(found, BarrierElement)
    return found


def barrier_address(value: Any, word: str) -> Address:
    """Where the barrier lies that a word was given: one barrier, an element of several, or a number in the list.

    Raises TileError TD0250 for anything else.
    """
    if isinstance(value, Tensor) and value.buffer.space is Space.BARRIER:
        value.check_alive()
        if value.buffer.shape != (1,):
            hint = f"name one of the {value.buffer.shape[0]}: {value.name}[i]"
            raise fail("TD0250", word=word, value=f"all of {value.shown()}", hint=hint)
        return Address(value.buffer, (Const(0, INDEX),))
    if (type(value) is int) or (isinstance(value, Scalar) and value.type.is_integer):
        value = _numbered(word, value)
    if isinstance(value, BarrierElement):
        value.tensor.check_alive()
        expr_of(value.reads)  # the variables of its index must be in scope
        return Address(value.tensor.buffer, value.offsets)
    raise fail("TD0250", word=word, value=describe(value), hint="make barriers with T.alloc_barrier")


def _emit(word: str, build: Any) -> None:
    tracer = begin(word)
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word=word)
    stmt: Stmt = build(tracer)
    tracer.launch(word).has_roles = True
    tracer.emit(stmt)


def _parity(word: str, parity: Any) -> Expr:
    value = operand(parity)
    if isinstance(value, Scalar) and value.type is BOOL:
        return converted(value, INDEX)
    e = index_of(value, "a parity")
    if isinstance(e, Const) and e.value not in (0, 1):
        raise fail("TD0226", word=word, name="parity", value=e.value, allowed="0 or 1: the number of the phase % 2")
    return e


def _wait(word: str, barrier: Any, parity: Any) -> None:
    _emit(word, lambda t: Await(barrier_address(barrier, word), _parity(word, parity), span=t.here()))


def _arrive(word: str, barrier: Any, ranks: int) -> None:
    _emit(word, lambda t: Arrive(barrier_address(barrier, word), ranks=ranks, span=t.here()))


def barrier_wait(barrier: Any, parity: Any = 0) -> None:
    """Waits until the phase of `barrier` with that parity (0 or 1) has ended.

    The phase of iteration k, where each has one, is `k % 2`; a producer that waits for tiles to become free waits for
    the phase before, `(k + 1) % 2`, which passes at once in iteration 0. `T.barrier_wait(bar, k % 2)`. Raises TileError
    TD0129 in a T.Parallel loop, TD0226 for another constant, TD0250 for what is no barrier. Source: PTX ISA,
    "mbarrier.try_wait".
    """
    _wait("T.barrier_wait", barrier, parity)


def mbarrier_wait_parity(mbarrier: Any, parity: Any) -> None:
    """Another name of T.barrier_wait: `T.mbarrier_wait_parity(bar, k % 2)`."""
    _wait("T.mbarrier_wait_parity", mbarrier, parity)


def barrier_arrive(barrier: Any, *, cluster_mask: int | None = None) -> None:
    """Every thread that executes this arrives at `barrier` once: 128 arrivals for each warpgroup of a T.ws block.

    `T.barrier_arrive(bar)`. `cluster_mask`: at that barrier of each of these blocks of the cluster (bit r: the block of
    rank r), not this one's: `T.barrier_arrive(bar, cluster_mask=0b01)`. Raises TileError TD0129 in a T.Parallel loop,
    TD0226 for blocks that there are not, TD0250 for what is no barrier. Source: PTX ISA, "mbarrier.arrive".
    """
    word = "T.barrier_arrive"
    _arrive(word, barrier, mask_of(word, "cluster_mask", cluster_mask))


def mbarrier_arrive(mbarrier: Any, cta_id: int | None = None) -> None:
    """T.barrier_arrive, or at that barrier of the block of rank `cta_id` of the cluster (TD0226).

    `T.mbarrier_arrive(bar)`, `T.mbarrier_arrive(bar, 0)`.
    """
    word = "T.mbarrier_arrive"
    if cta_id is not None:
        whole(word, "cta_id", cta_id, high=15, allowed="an int: the rank of a block")
    _arrive(word, mbarrier, 0 if cta_id is None else mask_of(word, "1 << cta_id", 1 << cta_id))


def mbarrier_expect_tx(mbarrier: Any, tx: Any) -> None:
    """Lets the present phase of `mbarrier` end only after `tx` more bytes have come. Said once for all threads.

    `T.mbarrier_expect_tx(bar, 64 * 32 * 2)`, up to 1048575 (TD0226). Source: PTX ISA, "mbarrier.expect_tx".
    """
    word = "T.mbarrier_expect_tx"
    _emit(word, lambda t: Expect(barrier_address(mbarrier, word), _bytes(word, tx), span=t.here()))


def mbarrier_arrive_expect_tx(mbarrier: Any, tx: int) -> None:
    """One arrival at `mbarrier` for all threads together, which expects `tx` bytes in this phase.

    `T.mbarrier_arrive_expect_tx(bar, 64 * 32 * 2)`: a constant (TD0220), up to 1048575 (TD0226). Source: PTX ISA,
    "mbarrier.arrive" with .expect_tx.
    """
    word = "T.mbarrier_arrive_expect_tx"

    def build(tracer: Tracer) -> Stmt:
        count = _bytes(word, tx)
        if not isinstance(count, Const):
            raise fail("TD0220", word=word, value=describe(tx))
        return Arrive(barrier_address(mbarrier, word), int(count.value), by="one", span=tracer.here())

    _emit(word, build)


def arrive_for_all(word: str, barrier: Any, ranks: int, count: int = 0) -> None:
    """One arrival for all threads at that barrier of each of these blocks, which then expect `count` bytes more."""
    _emit(word, lambda t: Arrive(barrier_address(barrier, word), count, by="one", ranks=ranks, span=t.here()))


def _bytes(word: str, value: Any) -> Expr:
    count = index_of(value, "a number of bytes")
    if isinstance(count, Const) and not 0 <= count.value <= _MOST_BYTES:
        raise fail("TD0226", word=word, name="tx", value=count.value, allowed=f"0 to {_MOST_BYTES} bytes")
    return count


def cp_async_barrier_noinc(barrier: Any) -> None:
    """Every thread arrives at `barrier` as soon as its T.async_copy copies so far are complete, without waiting.

    `T.cp_async_barrier_noinc(bar)`. Source: PTX ISA, "cp.async.mbarrier.arrive" with .noinc.
    """
    word = "T.cp_async_barrier_noinc"
    _emit(word, lambda t: Arrive(barrier_address(barrier, word), copies=True, span=t.here()))
