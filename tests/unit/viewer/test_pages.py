"""The pages: one file that needs nothing else, small, the same every time; and the commands that write them."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from viewer_cases import ROOT, hand_made, line_of, lowered, trace

from tiledsl.cli import main
from tiledsl.errors import TileError
from tiledsl.viewer.layouts import LayoutPicture
from tiledsl.viewer.model import Trace
from tiledsl.viewer.page import require_packages, timeline_page, timeline_svg, trace_page
from tiledsl.viewer.stages import TextLine
from tiledsl.viewer.timeline import Timeline, timeline_of

pytest.importorskip("jinja2", reason="jinja2 is not installed")
pytest.importorskip("pygments", reason="pygments is not installed")
pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")

from tiledsl.viewer.colours import LEXERS, coloured, html

MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def page() -> str:
    return trace_page(trace("gemm"))


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    kernel = lowered("gemm")
    record = hand_made(kernel.stages[0].kernel.launches[0].span.file, line_of("gemm", "T.copy(A[by"), 0)
    return timeline_of(record, kernel)


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def check_self_contained(page: str) -> None:
    """Nothing is fetched: no scripts, styles, pictures or fonts from elsewhere; XML names look like addresses only."""
    assert set(re.findall(r"https?://[\w.]+", page)) <= {"http://www.w3.org"}
    for attribute in re.findall(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="([^"]*)"', page):
        assert attribute == "data:,"
    assert "@import" not in page and "@font-face" not in page
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {"#stripes", "#hatch"}


def test_pages_are_self_contained_and_small(page: str, timeline: Timeline) -> None:
    for made in (page, timeline_page(timeline)):
        check_self_contained(made)
        assert len(made.encode()) < MOST_BYTES
        assert made.startswith("<!doctype html>")


def test_the_check_finds_what_is_fetched(page: str) -> None:
    for bad in ('<script src="https://cdn.example.org/x.js"></script>', '<link href="style.css">', "url(back.png)"):
        with pytest.raises(AssertionError):
            check_self_contained(page.replace("</head>", f"{bad}</head>"))


def without_times(t: Trace) -> Trace:
    return replace(t, emit_seconds=0.0, stages=tuple(replace(s, seconds=0.0) for s in t.stages))


def test_the_same_kernel_gives_the_same_bytes() -> None:
    from tiledsl.compile import lower
    from tiledsl.viewer.model import trace_of

    first = lowered("gemm")
    again = lower(first.stages[0].kernel, first.target)
    assert trace_page(without_times(trace_of(again))) == trace_page(without_times(trace("gemm")))


def test_all_that_was_gathered_is_in_the_page(page: str) -> None:
    data, shown = embedded(page), trace("gemm")
    texts = [unescape(re.sub(r"<[^>]*>", "", t)) for t in data["texts"]]
    for there, stage in zip(data["stages"], shown.stages, strict=True):
        assert [(texts[n], place) for n, place in there["lines"]] == [(l.text, l.place) for l in stage.lines]
    assert [(texts[n], place) for n, place in data["cuda"]] == [(l.text, l.place) for l in shown.cuda]
    assert [texts[n] for n, _ in data["sources"][0]["lines"]] == list(shown.sources[0].lines)
    assert [len(data[name]) for name in ("layouts", "charts", "maps", "barriers")] == [3, 1, 1, len(shown.barriers)]


def test_text_cannot_leave_its_place(page: str) -> None:
    """What a kernel says, in messages and names, is shown and never executed."""
    evil = '</script><script>alert("x")</script>'
    shown = trace("gemm")
    stage = replace(shown.stages[0], lines=(TextLine(f'assert x, "{evil}"', ""),), rows=())
    made = trace_page(replace(shown, kernel=evil, stages=(stage,)))
    assert made.count("<script") == page.count("<script")
    assert evil not in made


@pytest.mark.parametrize("language", sorted(LEXERS))
def test_colours_keep_the_text(language: str) -> None:
    lines = ["", "  for k in 8 {", 'assert x < 3, "a \\" b"', "a @ 3 # $ \u00e4", "", "}"]
    pieces = coloured(lines, language)
    assert ["".join(text for _, text in line) for line in pieces] == lines
    for line in pieces:
        whole = "".join(text for _, text in line)
        shown = html(line, [(2, 5)])
        assert unescape(re.sub(r"<[^>]*>", "", shown)) == whole
        marked = "".join(re.findall(r"<mark>(.*?)</mark>", shown))
        assert unescape(re.sub(r"<[^>]*>", "", marked)) == whole[2:5]


def test_words_of_the_ir_have_their_colours() -> None:
    (line,) = coloured(["async copy A -> s@0 if float16(3) barrier"], "ir")
    found = {text: kind for kind, text in line}
    expected = {"async": "y", "copy": "f", "if": "k", "float16": "t", "3": "m", "@0": "d", "barrier": "y", "A": ""}
    assert {word: found[word] for word in expected} == expected


def test_layouts_of_many_copies_name_some_of_their_threads() -> None:
    fragments = [p for p in trace("attention").layouts if p.kind == "fragment"]
    assert any(p.replication > 1 for p in fragments)
    assert all(isinstance(p, LayoutPicture) and len(p.threads) == len(p.places) * p.replicas for p in fragments)


def test_the_picture_alone_is_xml_with_its_styles(timeline: Timeline) -> None:
    root = ElementTree.fromstring(timeline_svg(timeline))
    names = [e.get("class", "").split() for e in root.iter() if "ev" in e.get("class", "").split()]
    assert len(names) == sum(len(t) for lane in timeline.lanes for t in lane.tracks)
    assert root.find("{http://www.w3.org/2000/svg}style") is not None
    titles = [e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "cp_async_16 B_shared@1, 2048 bytes, issued by warp 1; ticks 3 to 67" in titles


@pytest.mark.parametrize("package", ["jinja2", "pygments"])
def test_TD0906_without_a_package(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TileError) as raised:
        require_packages()
    assert raised.value.code == "TD0906" and package in raised.value.message


# ---- commands

SMALL = ["-a", "M=64", "-a", "N=64", "-a", "K=128", "-a", "block=(64, 64, 32)", "--target", "sm_80"]
GEMM = str(ROOT / "examples" / "gemm.py") + ":gemm"


def test_tiledsl_trace_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "trace.html"
    assert main(["trace", GEMM, *SMALL, "-o", str(out)]) == 0
    data = embedded(out.read_text())
    assert data["kernel"] == "gemm" and data["target"] == "sm_80"
    assert capsys.readouterr().out.startswith(f"{out}: gemm for sm_80, {len(data['stages'])} stages")


def test_tiledsl_trace_of_lowered_text_has_one_stage_and_no_plans(tmp_path: Path) -> None:
    from tiledsl.ir.printer import text

    source, out = tmp_path / "k.tir", tmp_path / "trace.html"
    source.write_text(text(lowered("gemm").final))
    assert main(["trace", str(source), "--target", "sm_80", "-o", str(out)]) == 0
    data = embedded(out.read_text())
    assert [s["name"] for s in data["stages"]] == ["trace"]
    assert data["layouts"] == data["charts"] == data["maps"] == data["barriers"] == []
    assert all(place for text, place in data["stages"][0]["lines"][1:5])


@pytest.mark.cxx
def test_tiledsl_timeline_writes_a_page_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, picture = tmp_path / "t.html", tmp_path / "t.svg"
    assert main(["timeline", GEMM, *SMALL, "-o", str(page)]) == 0
    assert main(["timeline", GEMM, *SMALL, "-o", str(picture), "--mode", "late", "--block", "0,0"]) == 0
    assert capsys.readouterr().out.count("gemm, block (0, 0, 0)") == 2
    made = page.read_text()
    check_self_contained(made)
    assert {"warp", "copy", "phase"} <= {lane["kind"] for lane in embedded(made)["lanes"]}
    product = line_of("gemm", "T.gemm(")
    assert re.search(rf'class="ev mma[^"]*" data-at="0:{product}"', made)
    assert ElementTree.parse(picture).getroot().get("id") == "timeline"


@pytest.mark.cxx
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--block", "9,9,9"], "TD0734"), (["--launch", "other"], "TD0735"), (["--block", "1,x"], "TD0736")],
)
def test_errors_of_tiledsl_timeline(
    arguments: list[str], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["timeline", GEMM, *SMALL, "-o", str(tmp_path / "t.html"), *arguments]) == 2
    assert f"error: {code}" in capsys.readouterr().err
    assert not (tmp_path / "t.html").exists()
