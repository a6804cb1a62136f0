"""What T.ws blocks become together, as text that is executed: `roles/<case>.tir`, as in test_golden.py.

What is not executed is the text before: roles that follow each other and wait for each other get stuck.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tiledsl.cpu import tile_interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.nodes import Buffer
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.language.gathering import gathered

MARK = "# ---- expected\n"
CASES = sorted((Path(__file__).parent / "roles").glob("*.tir"))

# case -> what C is, for A and B
REFERENCES = {
    "in_a_loop": lambda A: A,
    "sharing_work": lambda A, B: A.astype(np.float32) @ B.astype(np.float32),
}


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.stem)
def test_roles(case: Path, request: pytest.FixtureRequest) -> None:
    source, _, expected = case.read_text(encoding="utf-8").partition(MARK)
    before = parse(source, case.name)
    after = replace(before, launches=tuple(map(gathered, before.launches)))
    if request.config.getoption("--update-golden"):
        case.write_text(source + MARK + text(after), encoding="utf-8")
    else:
        assert text(after) == expected
    rng = np.random.default_rng(0)
    tensors = [p for p in after.params if isinstance(p, Buffer)]
    arrays = {b.name: rng.integers(-2, 3, b.shape).astype(numpy_dtype(b.dtype)) for b in tensors}
    given = {name: array for name, array in arrays.items() if name != "C"}
    tile_interp.run(after, arrays)
    np.testing.assert_array_equal(arrays["C"], REFERENCES[case.stem](**given))
