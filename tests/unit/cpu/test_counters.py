"""Counters of the checked CPU device against analysis/requests.py, on kernels written by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tiledsl.analysis.requests import Cost, global_cost, shared_cost
from tiledsl.cpu import device
from tiledsl.cpu.counters import Counter, Counters, counters, parse
from tiledsl.cpu.observe import Observation

pytestmark = pytest.mark.cxx

# Each thread stores to shared memory at its own offset, and loads from global memory at another, `n` times.
TEXT = """
TDS_KERNEL(64, 1) scattered(const tds::i32* TDS_RESTRICT at, const {type}* TDS_RESTRICT from, tds::i32 n) {{
  const tds::i32 thread = tds::thread_index();
  for (tds::i32 i = 0; i < n; ++i) {{
#line 10 "user.py"
    const tds::i32 offset = tds::load(at + i * 64 + thread);
    if (offset >= 0) {{
#line 12
      tds::store_shared<{type}>(tds::shared_base() + offset, tds::load(from + offset / {width}));
    }}
#line 13
    tds::barrier();
  }}
}}
TDS_EXPORT(scattered)
"""
TYPES = {1: "tds::u8", 2: "tds::u16", 4: "tds::u32", 8: "tds::u64"}
SIZE = 4096


def scattered(offsets: Any, width: int, **how: Any) -> Counters:
    module = device.compile_source(TEXT.format(type=TYPES[width], width=width), ["scattered"], checked=True)
    seen = Observation()
    source = np.zeros(SIZE, f"u{width}")
    tiles = [("tile", 0, SIZE, SIZE // 2, width)]
    arguments = [offsets.astype(np.int32), source, np.int32(len(offsets))]
    # Lanes may store to the same place: that is a race, and counted all the same.
    module.launch("scattered", (1,), 64, SIZE, arguments, observe=seen, shared=tiles, findings=[], **how)
    return seen.counters["scattered"]


@pytest.mark.parametrize("width", TYPES)
def test_random_accesses_cost_what_the_definition_says(width: int) -> None:
    rng = np.random.default_rng(width)
    offsets = rng.integers(0, SIZE // width // 8, (20, 64)) * width
    offsets[rng.random((20, 64)) < 0.3] = -1
    offsets[3, :32] = -1  # a warp that leaves it out altogether
    rows = {(r.space, r.op, r.line): r for r in scattered(offsets, width).rows}
    addresses, weights = offsets.reshape(-1, 32), np.ones(40, np.int64)
    for space, op, cost in (("shared", "store", shared_cost), ("global", "load", global_cost)):
        expected: Cost = cost(addresses, addresses >= 0, width, weights)
        found = rows[space, op, 12]
        assert Cost(found.requests, found.transactions, found.ideal, found.bytes) == expected
        assert found.file == "user.py" and found.buffer == ("tile" if space == "shared" else "from")
    assert rows["global", "load", 10].transactions == rows["global", "load", 10].ideal == 20 * 8
    assert rows["warp", "barrier", 13].requests == 40
    assert len(rows) == 4


def test_counting_is_by_request_not_by_order() -> None:
    offsets = np.arange(64)[None] * 4 % 512 + np.zeros((5, 1), int)
    first = scattered(offsets, 4)
    assert first == scattered(offsets, 4, schedule="reverse") == scattered(offsets, 4, schedule="random", seed=7)


def test_a_pattern_that_differs_is_told_apart() -> None:
    """The check above would notice one lane that is elsewhere."""
    offsets = np.arange(64)[None] * 4
    moved = offsets.copy()
    moved[0, 5] = 4 * (6 + 32)
    assert scattered(offsets, 4) != scattered(moved, 4)


def test_rows_add_up_in_order_and_have_a_text() -> None:
    one = Counter("load", "global", "A", "f.py", 3, 1, 4, 4, 128)
    two = Counter("barrier", "warp", "", "f.py", 2, 4, 0, 0, 0)
    table = counters([one, two, one])
    assert [r.line for r in table.rows] == [2, 3]
    assert table.total("global") == Counter("", "global", "", "", 0, 2, 8, 8, 256)
    assert str(table).splitlines()[-1].split() == ["load", "A", "f.py:3", "2", "8", "8", "256"]
    assert json.loads(table.to_json())[1]["requests"] == 2
    assert parse("global\x1fload\x1fA\x1ff.py\x1f3\x1f1\x1f4\x1f4\x1f128\n") == counters([one])
