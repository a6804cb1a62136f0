"""Golden pairs: `<pass>/<case>.tir` holds a kernel, a line "# ---- expected", and the kernel that the pass makes of it.

Both are also executed on exact inputs and must compute the same bits, so that a wrong expectation cannot be blessed
with --update-golden. Where the input is not executable (guard-bounds: it leaves its buffers) it says "# only after",
and the output must run with all checks; unit tests then hold what it computes. A line "# pipeline: a,b{x=1}" runs more
than the pass of the directory's name; a line "# sizes: m=5, n=3" gives the dynamic extents; "# target: sm_90a" another
target than sm_80.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiledsl.cpu import interp, tile_interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.nodes import Kernel, Var
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.tile import is_tile_stage
from tiledsl.passes.base import parse_pipeline, run_pipeline
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import target_named

MARK = "# ---- expected\n"
HERE = Path(__file__).parent
CASES = sorted(p for p in HERE.glob("*/*.tir") if p.parent.name in PASSES)


def inputs(kernel: Kernel, sizes: dict[str, int]) -> dict[str, Any]:
    """Small integers, of which every dtype holds the sums and products exactly."""
    rng = np.random.default_rng(0)
    values: dict[str, Any] = {}
    for p in kernel.params:
        if isinstance(p, Var):
            values[p.name] = sizes.get(p.name, 3)
            continue
        shape = [n if isinstance(n, int) else _extent(n, sizes) for n in p.shape]
        low = 0 if p.dtype.name.startswith("uint") else -2
        values[p.name] = rng.integers(low, 3, shape).astype(numpy_dtype(p.dtype))
    return values


def _extent(e: Any, sizes: dict[str, int]) -> int:
    assert isinstance(e, Var), "golden kernels have plain sizes"
    return sizes[e.name]


def outputs(kernel: Kernel, sizes: dict[str, int], tile_stage: bool) -> dict[str, Any]:
    arrays = inputs(kernel, sizes)
    (tile_interp if tile_stage else interp).run(kernel, arrays)
    return arrays


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_golden(case: Path, request: pytest.FixtureRequest) -> None:
    source, _, expected = case.read_text(encoding="utf-8").partition(MARK)
    pipeline = re.search(r"^# pipeline: (.*)$", source, re.M)
    given = re.search(r"^# sizes: (.*)$", source, re.M)
    sizes = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", given[1])} if given else {}
    target = re.search(r"^# target: (.*)$", source, re.M)
    passes = parse_pipeline(
        pipeline[1] if pipeline else case.parent.name, PASSES, target_named(target[1] if target else "sm_80")
    )
    before = parse(source, case.name)
    after = run_pipeline(before, passes)
    if request.config.getoption("--update-golden"):
        case.write_text(source + MARK + text(after), encoding="utf-8")
    else:
        assert text(after) == expected
    tile_stage = is_tile_stage(before)
    new = outputs(after, sizes, tile_stage and is_tile_stage(after))
    if "# only after" in source:
        return
    old = outputs(before, sizes, tile_stage)
    for name, array in old.items():
        np.testing.assert_array_equal(np.asarray(array), np.asarray(new[name]), err_msg=name)
