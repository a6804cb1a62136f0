"""Every example can be looked at, and what the page shows holds for it."""

from __future__ import annotations

import pytest
from viewer_cases import example, example_variants

from tiledsl.ir.nodes import Barrier
from tiledsl.ir.printer import lines
from tiledsl.viewer import model
from tiledsl.viewer.costs import Costs
from tiledsl.viewer.gantt import overlaps

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "target"), example_variants())
def test_every_example_has_a_trace(name: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "costs_of", lambda *_: Costs("", (), "", ""))  # it would compile 270 cubins
    kernel = example(name, target)
    shown = model.trace_of(kernel)
    assert all(overlaps(chart) == [] for chart in shown.charts)
    printed = lines(kernel.after("insert-barriers"))
    assert [b.line for b in shown.barriers] == [n for n, l in enumerate(printed) if isinstance(l.node, Barrier)]
    assert [m.total for m in shown.maps] == [l.shared_bytes for l in kernel.final.launches if l.shared]
    for m in shown.maps:
        assert all(t.first <= x.time <= t.last for t in m.tenants for x in t.touches)
    known = {p for s in shown.sources for p in s.places}
    assert {l.place for s in shown.stages for l in s.lines} <= known | {""}
