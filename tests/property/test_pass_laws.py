"""Every scalar pass keeps what a kernel computes, bit for bit (S1, S5), in bounds (S2) and aligned (S4).

The interpreter checks bounds, alignment and reads of what was never written while it runs.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from thread_kernels import KERNELS, check_same, execute

from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.walk import same
from tiledsl.passes.base import Pass
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import target_named

ORDER = ("vectorise", "unroll", "simplify-indices", "remove-dead", "legalise-dtypes", "narrow-indices")
ALONE = ("expand-lets", *ORDER)
TARGET = target_named("sm_80")


def the(name: str) -> Pass:
    return PASSES[name].bind(TARGET)


@settings(max_examples=60)
@given(KERNELS)
def test_the_scalar_passes_in_order_keep_the_meaning(kernel: Kernel) -> None:
    kernel = the("guard-bounds")(kernel)
    expected = execute(kernel)
    for name in ORDER:
        kernel = the(name)(kernel)
        check_same(expected, execute(kernel), name)


@pytest.mark.parametrize("name", ALONE)
@settings(max_examples=25)
@given(kernel=KERNELS)
def test_each_scalar_pass_alone_keeps_the_meaning(name: str, kernel: Kernel) -> None:
    kernel = the("guard-bounds")(kernel)
    check_same(execute(kernel), execute(the(name)(kernel)), name)


@settings(max_examples=25)
@given(KERNELS)
def test_output_of_the_passes_survives_its_text(kernel: Kernel) -> None:
    for name in ("guard-bounds", *ORDER):
        kernel = the(name)(kernel)
    assert same(parse(text(kernel)), kernel)
