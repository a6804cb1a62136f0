"""Words that give groups of a block's threads programs of their own, and deal registers to them."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from tiledsl.frontend.control import NamedContext
from tiledsl.frontend.proxies import describe
from tiledsl.frontend.source import fail
from tiledsl.frontend.tracer import LaunchFrame, RoleFrame, tracer_of
from tiledsl.ir.concurrent import WARPGROUP, Role, Roles, SetRegisters
from tiledsl.ir.nodes import Var
from tiledsl.language.arguments import whole
from tiledsl.language.tiles import begin

_COUNTS = "a multiple of 8 from 24 to 256"  # PTX ISA, "setmaxnreg"; 256 where all are to be had


class WarpSpecialize(NamedContext):
    """`with T.ws(0):` has the body executed by the first warpgroup (128 threads) only.

    `with T.ws(1, 2):` is for the next two, and `with T.WarpSpecialize(0):` another name. Tile words in the body work
    with these threads, which do not wait for the others: blocks for different warpgroups that follow each other, also
    in a loop, run at the same time. Give every role its own fragments, and order what passes through shared memory with
    T.alloc_barrier, T.barrier_wait and T.barrier_arrive. Raises TileError TD0251 for warpgroups that the launch has
    not, or that are no neighbours, TD0252 in another such block or a T.Parallel loop.
    """

    def __init__(self, *groups: Any) -> None:
        self.tracer = begin("T.ws")
        self.span = self.tracer.here()
        threads = 1
        for count in self.tracer.launch("T.ws").threads:
            threads *= count
        self.groups = _warpgroups(groups, threads)

    def __enter__(self) -> None:
        for kind, where in (("role", "another T.ws block"), ("parallel", "T.Parallel")):
            if self.tracer.enclosing(kind) is not None:
                raise fail("TD0252", where=where)
        first, count = self.groups[0], len(self.groups)
        self.frame = RoleFrame(
            "role", "the T.ws block", None, self.span, first=first * WARPGROUP, threads=count * WARPGROUP
        )
        self.frame.thread = Var(f"t{first}")
        self.tracer.open(self.frame)

    def __exit__(
        self, _kind: type[BaseException] | None, raised: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if raised is not None:
            return
        f = self.frame
        name = "ws" + "_".join(map(str, self.groups))
        body = self.tracer.close(f)
        role = Role(name, f.first, f.threads, f.thread, body, f.registers)
        self.tracer.launch("T.ws").has_roles = True
        self.tracer.emit(Roles((role,), span=self.span))


ws = WarpSpecialize


def _warpgroups(groups: tuple[Any, ...], threads: int) -> tuple[int, ...]:
    """The numbers of warpgroups, in order."""
    if len(groups) == 1 and isinstance(groups[0], (tuple, list)):
        groups = tuple(groups[0])
    shown = ", ".join(str(g) if isinstance(g, int) else describe(g) for g in groups)
    if not groups or not all(type(g) is int and g >= 0 for g in groups):
        raise fail("TD0251", groups=shown, rule="name the warpgroups by number, from 0 on")
    found = tuple(sorted(groups))
    if found != tuple(range(found[0], found[0] + len(found))):
        raise fail("TD0251", groups=shown, rule="the warpgroups of a block must be neighbours; write a block for each")
    needed = (found[-1] + 1) * WARPGROUP
    if needed > threads:
        raise fail("TD0251", groups=shown, rule=f"launch T.Kernel(..., threads={needed}); it has {threads} threads")
    return found


# ------------------------------------------------------------------------------------------------------- registers


def _registers(word: str, name: str, count: Any) -> int:
    return whole(word, name, count, 24, 256, step=8, allowed=_COUNTS)


def set_max_nreg(reg_count: int, is_inc: int) -> None:
    """Gives each thread `reg_count` registers from here on: more (`is_inc` = 1) or fewer (0) than before.

    In a T.ws block it holds for the threads of the block. Those that need few registers, because they only copy, give
    the others theirs. A multiple of 8 from 24 to 256. `T.set_max_nreg(240, 1)`. Raises TileError TD0129 in a T.Parallel
    loop, TD0226 for other numbers. Source: PTX ISA, "setmaxnreg".
    """
    _set_registers("T.set_max_nreg", reg_count, is_inc)


def inc_max_nreg(reg_count: int) -> None:
    """`T.inc_max_nreg(240)` is `T.set_max_nreg(240, 1)`."""
    _set_registers("T.inc_max_nreg", reg_count, 1)


def dec_max_nreg(reg_count: int) -> None:
    """`T.dec_max_nreg(24)` is `T.set_max_nreg(24, 0)`."""
    _set_registers("T.dec_max_nreg", reg_count, 0)


def _set_registers(word: str, count: Any, increase: Any) -> None:
    tracer = begin(word)
    count = _registers(word, "reg_count", count)
    if increase not in (0, 1):
        raise fail("TD0226", word=word, name="is_inc", value=describe(increase), allowed="0 or 1")
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word=word)
    frame = tracer.frame
    if isinstance(frame, RoleFrame) and not frame.registers and not frame.block:
        frame.registers = count  # at its start: the compiler then knows the budget of the role as a whole
        return
    tracer.launch(word).has_roles = True
    tracer.emit(SetRegisters(count, bool(increase), span=tracer.here()))


def _budget(word: str) -> tuple[LaunchFrame, tuple[int, int]]:
    """The launch, and what has been said of the registers of copying and computing threads; 0 for nothing."""
    frame = tracer_of(word).launch(word)
    copies, computes = frame.registers or (0, 0)
    return frame, (copies, computes)


def annotate_producer_reg_dealloc(reg_count: int = 24) -> None:
    """Where the compiler divides a block into copying and computing threads: the registers of one that copies.

    `T.annotate_producer_reg_dealloc(24)`: a multiple of 8 from 24 to 256 (TD0226).
    """
    frame, (_, computes) = _budget("T.annotate_producer_reg_dealloc")
    frame.registers = (_registers("T.annotate_producer_reg_dealloc", "reg_count", reg_count), computes)


def annotate_consumer_reg_alloc(reg_count: int = 240) -> None:
    """Where the compiler divides a block into copying and computing threads: the registers of one that computes.

    `T.annotate_consumer_reg_alloc(240)`: a multiple of 8 from 24 to 256 (TD0226).
    """
    frame, (copies, _) = _budget("T.annotate_consumer_reg_alloc")
    frame.registers = (copies, _registers("T.annotate_consumer_reg_alloc", "reg_count", reg_count))


def no_set_max_nreg() -> None:
    """Where the compiler divides a block into copying and computing threads, all keep the registers of the launch.

    `T.no_set_max_nreg()`.
    """
    frame, _ = _budget("T.no_set_max_nreg")
    frame.registers = (0, 0)


def disable_warp_group_reg_alloc() -> None:
    """Another name of T.no_set_max_nreg: `T.disable_warp_group_reg_alloc()`."""
    no_set_max_nreg()
