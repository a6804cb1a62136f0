"""Every scalar pass keeps what a kernel computes, bit for bit (S1, S5), in bounds (S2) and aligned (S4).

The interpreter checks bounds, alignment and reads of what was never written while it runs.
"""

from __future__ import annotations

from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.walk import same
from tiledsl.passes.base import Pass
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import target_named
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.threads import check_same, execute, thread_kernels

ORDER = ("vectorise", "unroll", "simplify-indices", "remove-dead", "legalise-dtypes", "narrow-indices")
ALONE = ("expand-lets", *ORDER)
TARGET = target_named("sm_80")


def the(name: str) -> Pass:
    return PASSES[name].bind(TARGET)


@law("S1", "S2", "S4", "S5", examples=60, kernel=thread_kernels())
def the_scalar_passes_in_order_keep_the_meaning(kernel: Kernel) -> None:
    kernel = the("guard-bounds")(kernel)
    expected = execute(kernel)
    for name in ORDER:
        kernel = the(name)(kernel)
        check_same(expected, execute(kernel), name)


@law("S1", "S5", "S25", examples=60, kernel=thread_kernels(copies=False))
def each_scalar_pass_alone_keeps_the_meaning(kernel: Kernel) -> None:
    kernel = the("guard-bounds")(kernel)
    expected = execute(kernel)
    for name in ALONE:
        after = the(name)(kernel)
        if after != kernel:
            check_same(expected, execute(after), name)


@law(examples=25, kernel=thread_kernels())
def output_of_the_passes_survives_its_text(kernel: Kernel) -> None:
    for name in ("guard-bounds", *ORDER):
        kernel = the(name)(kernel)
    assert same(parse(text(kernel)), kernel)


LAWS = laws_of(globals())
