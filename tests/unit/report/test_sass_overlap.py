"""What is issued while wgmma works, on bodies of loops written by hand."""

from __future__ import annotations

import pytest

from tiledsl.report.sass_code import Instruction
from tiledsl.report.sass_stats import Overlap, overlap

CLOSES = ("HGMMA.64x256x16.F32", "R24, gdesc[UR4], R24, gsb0")
PART = ("HGMMA.64x256x16.F32", "R24, gdesc[UR4], R24")
OTHER = ("IADD3", "R1, R2, R3, RZ")


def wait(pending: int) -> tuple[str, str]:
    return "WARPGROUP.DEPBAR.LE", f"gsb0, {pending:#x}"


def body(*instructions: tuple[str, str]) -> tuple[Instruction, ...]:
    return tuple(Instruction(16 * n, "", op, args) for n, (op, args) in enumerate(instructions))


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        # A wait right behind the products: nothing is issued beside them, but for the wait itself.
        ((OTHER, OTHER, PART, CLOSES, wait(0)), Overlap((0,), 0.0)),
        # Two of three others before the wait.
        ((OTHER, PART, CLOSES, OTHER, OTHER, wait(0)), Overlap((0,), 2 / 4)),
        # One group stays in flight from trip to trip: everything is beside it.
        ((OTHER, CLOSES, OTHER, wait(1), OTHER), Overlap((1,), 3 / 4)),
        # NOPs count neither way.
        ((("NOP", ""), CLOSES, ("NOP", ""), OTHER, wait(0), OTHER), Overlap((0,), 1 / 3)),
    ],
)
def test_overlap(instructions: tuple[tuple[str, str], ...], expected: Overlap) -> None:
    assert overlap(body(*instructions)) == expected


def test_drains_are_waits_for_everything() -> None:
    found = overlap(body(CLOSES, wait(0), CLOSES, wait(1), wait(0)))
    assert found is not None and found.drains == 2


def test_without_wgmma_there_is_none() -> None:
    assert overlap(body(OTHER, ("HMMA.16816.F32", "R4, R8, R12, R4"))) is None
