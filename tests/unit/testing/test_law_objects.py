"""Laws as objects: what is false is found and made small, the same each time; what holds is counted."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.testing.laws import base
from tiledsl.testing.laws.base import Law, law, laws_of, refused

NUMBERS = st.integers(0, 10_000)


@law("X1", "X2", numbers=st.lists(NUMBERS), limit=st.just(100))
def numbers_are_small(numbers: list[int], limit: int) -> None:
    assert all(n < limit for n in numbers)


@law(number=NUMBERS)
def numbers_are_natural(number: int) -> None:
    assert number >= 0


def test_a_law_is_data() -> None:
    assert numbers_are_small.name == "numbers_are_small" and numbers_are_small.invariants == ("X1", "X2")
    assert numbers_are_small.room == "test_law_objects"
    assert laws_of(globals()) == (numbers_are_small, numbers_are_natural)


def test_what_is_false_is_found_and_made_small() -> None:
    failure = numbers_are_small.run(max_examples=200, seed=3)
    assert failure is not None and failure.example == {"numbers": [100], "limit": 100}
    assert isinstance(failure.error, AssertionError) and "test_law_objects.py" in failure.place
    assert "numbers = [100]" in str(failure) and "--replay numbers_are_small --seed 3" in str(failure)
    again = numbers_are_small.run(max_examples=200, seed=3)
    assert again is not None and again.example == failure.example


def test_what_holds_is_counted() -> None:
    outcome = numbers_are_natural.explore(40, 1)
    assert outcome.failure is None and outcome.examples == 40
    assert numbers_are_natural.run(5) is None


def test_time_ends_an_exploration() -> None:
    slow = replace(numbers_are_natural, check=lambda number: time.sleep(0.05))
    outcome = slow.explore(1000, 0, seconds=0.3)
    assert outcome.failure is None and 0 < outcome.examples < 20 and outcome.seconds < 5


def test_what_no_example_satisfies_holds_on_none() -> None:
    def never(number: int) -> None:
        assume(False)

    assert replace(numbers_are_natural, check=never).explore(20).examples == 0


def test_an_example_that_hangs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "EXAMPLE_SECONDS", 1)
    monkeypatch.setattr(base, "SHRINK_SECONDS", 0)

    def hangs(number: int) -> None:
        while True:
            pass

    failure = replace(numbers_are_natural, check=hangs).run(3)
    assert failure is not None and isinstance(failure.error, TimeoutError)


def test_refused() -> None:
    with refused(ValueError):
        raise ValueError
    with pytest.raises(AssertionError, match="no ValueError"), refused(ValueError):
        pass


def test_a_strategy_that_raises_is_no_failure_of_the_law() -> None:
    broken = Law("broken", (), st.builds(lambda: {}["x"]), lambda: None, "here")
    with pytest.raises(KeyError):
        broken.run(3)


def test_a_seed_means_the_same_examples_in_every_process() -> None:
    """Whatever modules are loaded: hypothesis would draw the constants in them, too."""
    program = (
        "import sys, importlib, hashlib\nfrom dataclasses import replace\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "from tiledsl.testing.laws import LAWS\nseen = []\n"
        "law = replace(LAWS['expressions_keep_their_value'], check=lambda **e: seen.append(repr(e)))\n"
        "law.run(40, 3)\nprint(hashlib.sha256(''.join(seen).encode()).hexdigest())"
    )
    digests = [
        subprocess.run([sys.executable, "-c", program, *more], capture_output=True, text=True, check=True).stdout
        for more in ((), ("tiledsl.report", "tiledsl.checking"))
    ]
    assert digests[0] == digests[1] != ""
