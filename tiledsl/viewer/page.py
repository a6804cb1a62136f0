"""Pages from what was gathered: one HTML file each, with styles, scripts and data inside. Needs jinja2 and pygments."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from struct import pack
from typing import Any

from tiledsl.errors import error
from tiledsl.viewer.differences import Range, Row
from tiledsl.viewer.drawing import LEFT, drawing_of
from tiledsl.viewer.layouts import LayoutPicture
from tiledsl.viewer.model import Trace
from tiledsl.viewer.places import SourceFile
from tiledsl.viewer.stages import StageView, TextLine
from tiledsl.viewer.timeline import Timeline


def require_packages() -> None:
    """Raises TileError TD0906 where jinja2 or pygments is missing."""
    try:
        import jinja2  # noqa: F401
        import pygments  # noqa: F401
    except ImportError as problem:
        raise error("TD0906", package=problem.name) from None


def trace_page(trace: Trace) -> str:
    """The page of `tiledsl trace`. The same trace gives the same bytes; only times differ between compilations."""
    require_packages()
    return _page("trace.html.j2", title=f"{trace.kernel} · tiledsl trace", data=_embedded(_trace_data(trace)))


def timeline_page(timeline: Timeline) -> str:
    """The page of `tiledsl timeline`."""
    require_packages()
    texts = _Texts()
    sources = [_source(texts, s) for s in timeline.sources]
    lanes = [{"name": l.name, "kind": l.kind, "busy": l.busy, "waiting": l.waiting} for l in timeline.lanes]
    shown = {
        name: getattr(timeline, name) for name in ("kernel", "target", "block", "threads", "latency", "end", "mode")
    }
    data = {**shown, "lanes": lanes, "sources": sources, "texts": texts.known}
    title = f"{timeline.kernel} · tiledsl timeline"
    picture = _picture(timeline, standalone=False)
    return _page("timeline.html.j2", title=title, picture=picture, data=_embedded(data))


def timeline_svg(timeline: Timeline) -> str:
    """The picture alone, with its styles."""
    require_packages()
    return _picture(timeline, standalone=True)


def _picture(timeline: Timeline, *, standalone: bool) -> str:
    return _page("timeline.svg.j2", d=drawing_of(timeline), left=LEFT, standalone=standalone)


def _page(template: str, **values: object) -> str:
    import jinja2

    loader = jinja2.FunctionLoader(_template)
    environment = jinja2.Environment(loader=loader, autoescape=False, undefined=jinja2.StrictUndefined)
    return str(environment.get_template(template).render(asset=_template, **values))


def _template(name: str) -> str:
    return resources.files("tiledsl.viewer").joinpath("templates", name).read_text(encoding="utf-8")


def _embedded(data: Any) -> str:
    """JSON that may stand in a script element: it has no `<`."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")


@dataclass
class _Texts:
    """Coloured lines, each text once: most lines stay the same from pass to pass."""

    known: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, html: str) -> int:
        if html not in self.numbers:
            self.numbers[html] = len(self.known)
            self.known.append(html)
        return self.numbers[html]

    def lines(self, lines: Sequence[str], language: str) -> list[int]:
        from tiledsl.viewer.colours import coloured, html

        return [self.number(html(pieces)) for pieces in coloured(lines, language)]


def _trace_data(t: Trace) -> dict[str, Any]:
    texts = _Texts()
    stages = []
    before: StageView | None = None
    for stage in t.stages:
        stages.append(_stage(texts, before, stage))
        before = stage
    return {
        "kernel": t.kernel,
        "target": t.target,
        "launches": [asdict(l) for l in t.launches],
        "sources": [_source(texts, s) for s in t.sources],
        "stages": stages,
        "emitSeconds": round(t.emit_seconds, 6),
        "cuda": _lines(texts, t.cuda, "cuda"),
        "layouts": [_layout(p) for p in t.layouts],
        "charts": [{**asdict(c), "codes": texts.lines([r.text for r in c.rows], "ir")} for c in t.charts],
        "maps": [{**asdict(m), "codes": texts.lines([x.text for x in m.moments], "ir")} for m in t.maps],
        "barriers": [_barrier(texts, asdict(b)) for b in t.barriers],
        "costs": asdict(t.costs),
        "texts": texts.known,
    }


def _lines(texts: _Texts, lines: Sequence[TextLine], language: str) -> list[tuple[int, str]]:
    return list(zip(texts.lines([line.text for line in lines], language), (line.place for line in lines)))


def _source(texts: _Texts, s: SourceFile) -> dict[str, Any]:
    language = "python" if s.name.endswith(".py") else "ir"
    return {"name": s.name, "first": s.first, "lines": list(zip(texts.lines(s.lines, language), s.places))}


def _stage(texts: _Texts, before: StageView | None, s: StageView) -> dict[str, Any]:
    return {
        "name": s.name,
        "seconds": round(s.seconds, 6),
        "statements": s.statements,
        "characters": s.characters,
        "added": s.added,
        "removed": s.removed,
        "lines": _lines(texts, s.lines, "ir"),
        "rows": _rows(texts, before, s) if before else [],
    }


def _rows(texts: _Texts, before: StageView, s: StageView) -> list[tuple[int, ...]]:
    """(old line, new line), and for a changed pair the numbers of their texts with marks."""
    from tiledsl.viewer.colours import coloured, html

    old, new = (coloured([line.text for line in view.lines], "ir") for view in (before, s))

    def marked(side: Sequence[Any], n: int, marks: Iterable[Range]) -> int:
        return texts.number(html(side[n], tuple(marks)))

    def row(r: Row) -> tuple[int, ...]:
        if r.same or not r.pair:
            return (r.old, r.new)
        return (r.old, r.new, marked(old, r.old, r.old_marks), marked(new, r.new, r.new_marks))

    return [row(r) for r in s.rows]


def _layout(p: LayoutPicture) -> dict[str, Any]:
    return {**asdict(p), "threads": _packed(p.threads), "places": _packed(p.places)}


def _packed(numbers: Sequence[int]) -> str:
    """Numbers of 32 bits, little-endian, in base64."""
    return b64encode(pack(f"<{len(numbers)}I", *numbers)).decode()


def _barrier(texts: _Texts, b: dict[str, Any]) -> dict[str, Any]:
    accesses = [b["before"], *(c[side] for c in b["conflicts"] for side in ("first", "second"))]
    for access in accesses:
        access["code"] = texts.lines([access.pop("text")], "ir")[0]
    return b
