"""Every law of the compiler, on a bounded number of examples; tiledsl.testing.fuzz tries the same objects for long."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import settings

from tiledsl.cpu.toolchain import find_compiler
from tiledsl.testing.laws import LAWS, ROOMS, Law

DEFAULT = 50  # what the default profile of hypothesis tries, and what `Law.examples` is relative to


@pytest.mark.parametrize("law", LAWS.values(), ids=[f"{x.room}-{x.name}" for x in LAWS.values()])
def test_law(law: Law) -> None:
    if law.compiler and find_compiler() is None:
        pytest.skip("no host C++ compiler was found")
    outcome = law.explore(law.examples * settings().max_examples // DEFAULT, crc32(law.name.encode()))
    assert outcome.failure is None, str(outcome.failure)
    assert outcome.examples > 0


def test_names_of_laws_are_unique() -> None:
    assert len(LAWS) == sum(len(room.LAWS) for room in ROOMS)
