"""Laws of ping-pong, on random nests of products and work, executed by the thread-stage interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.cpu import interp
from tiledsl.cpu.turns import ORDERS, Order
from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import NamedArrive, NamedSync
from tiledsl.ir.nodes import Buffer, Kernel, Node, static_shape
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import map_children, statements
from tiledsl.passes.ping_pong import When, ping_pong
from tiledsl.testing.laws.base import law, laws_of, refused
from tiledsl.testing.strategies.turns import turn_kernels
from tiledsl.verifiers.turns import verify_turns

TurnKernel = tuple[Kernel, dict[str, Any]]


def result(kernel: Kernel, scalars: dict[str, Any], roles: Order = "first") -> bytes:
    """The bits of the sums, after a run that checks races, phases, and what is in flight."""
    (out,) = (p for p in kernel.params if isinstance(p, Buffer))
    given = {"out": np.zeros(static_shape(out), np.float32), **scalars}
    interp.run(kernel, given, mode="late", roles=roles)
    return given["out"].tobytes()  # type: ignore[no-any-return]


@law("W3", "W5", "W12", examples=40, program=turn_kernels(), when=st.sampled_from(When), roles=st.sampled_from(ORDERS))
def warpgroups_that_take_turns_compute_the_same(program: TurnKernel, when: When, roles: Order) -> None:
    """And all of them come to their ends, whichever goes first."""
    kernel, scalars = program
    made = ping_pong(kernel, when=when)
    verify(made)
    verify_turns(kernel, made)
    assert result(made, scalars, roles) == result(kernel, scalars)


@law("W20", examples=30, program=turn_kernels(), number=st.integers(0, 9))
def a_named_barrier_less_is_noticed(program: TurnKernel, number: int) -> None:
    """By the verifier, where a run of the kernel comes to it."""
    kernel, _ = program
    made = ping_pong(kernel, when=When.ON)
    named = [s for s in statements(made) if isinstance(s, NamedSync | NamedArrive)]
    assume(named)
    given = (named[0], named[-1])  # the first turn, and the one left over: these are executed whatever the sizes are
    chosen = given[number % 2]

    def rule(node: Node) -> Any:
        return () if node is chosen else map_children(node, rule)

    with refused(VerifyError):
        verify_turns(kernel, rule(made))


LAWS = laws_of(globals())
