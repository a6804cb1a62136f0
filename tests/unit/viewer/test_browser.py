"""Both pages in a real browser, from a file and without a network: every part is clicked through."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from viewer_cases import hand_made, line_of, lowered, trace

from tiledsl.viewer.page import timeline_page, trace_page
from tiledsl.viewer.timeline import timeline_of

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("jinja2", reason="jinja2 is not installed")
pytest.importorskip("pygments", reason="pygments is not installed")
pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDTH, HEIGHT = 1440, 900


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser was found: {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=list(OPTIONS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    kernel = lowered("gemm")
    file = kernel.stages[0].kernel.launches[0].span.file
    record = hand_made(file, line_of("gemm", "T.copy(A[by"), line_of("gemm", "T.gemm("))
    pages = {"trace": trace_page(trace("gemm")), "timeline": timeline_page(timeline_of(record, kernel))}
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in pages}


class Opened:
    """A page, and what went wrong in it or left it."""

    def __init__(self, browser: Any, file: Path, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
        self.page.set_default_timeout(15_000)
        self.problems: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.problems.append(str(e)))
        self.page.on("request", lambda r: self.requested.append(r.url))
        self.page.goto(file.as_uri())

    def close(self) -> None:
        self.page.close()
        assert self.problems == []
        assert all(url.startswith(("file:", "data:")) for url in self.requested)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.page.locator(selector).all_text_contents()
        return found

    def count(self, selector: str) -> int:
        return int(self.page.locator(selector).count())


@pytest.fixture
def shown(browser: Any, files: dict[str, Path]) -> Iterator[Opened]:
    opened = Opened(browser, files["trace"])
    yield opened
    opened.close()


def test_passes_are_chosen_by_click_and_by_key(shown: Opened) -> None:
    stages = trace("gemm").stages
    assert shown.count("#passes .pass") == len(stages)
    shown.page.click('[data-pass="lower-tiles"]')
    lowered_tiles = next(s for s in stages if s.name == "lower-tiles")
    assert shown.texts("#view .ln code") == [l.text.lstrip() or " " for l in lowered_tiles.lines]
    shown.page.keyboard.press("ArrowDown")
    assert shown.page.get_attribute("#passes .on", "data-pass") == "guard-bounds"
    shown.page.keyboard.press("ArrowUp")
    assert shown.page.get_attribute("#passes .on", "data-pass") == "lower-tiles"


def test_differences_in_both_forms(shown: Opened) -> None:
    stage = next(s for s in trace("gemm").stages if s.name == "software-pipeline")
    shown.page.click('[data-pass="software-pipeline"]')
    shown.page.click('[data-form="diff"]')
    assert shown.count("#view .ln.add") == stage.added and shown.count("#view .ln.del") == stage.removed
    assert shown.count("#view mark") > 0
    shown.page.keyboard.press("s")
    assert shown.count("#view .pair .ln.add") == stage.added and shown.count("#view .pair .ln.del") == stage.removed
    shown.page.keyboard.press("t")
    assert shown.count("#view .ln") == len(stage.lines)


def test_folded_lines_open(shown: Opened) -> None:
    shown.page.click('[data-pass="count-versions"]')
    shown.page.keyboard.press("d")
    stage = trace("gemm").stages[-1]
    hidden = [int(n) for text in shown.texts(".fold") for n in re.findall(r"\d+", text)]
    assert hidden
    before = shown.count("#view .ln")
    shown.page.locator(".fold").first.click()
    assert shown.count("#view .ln") == before + hidden[0]
    assert before + sum(hidden) == len(stage.lines) + stage.removed


def test_every_tab_shows_its_plan(shown: Opened) -> None:
    t = trace("gemm")
    expected = {
        "layouts": (".layouts .item", len(t.layouts)),
        "pipeline": (".gantt .bar", len(t.charts[0].bars)),
        "shared": (".map .tenant", len(t.maps[0].tenants)),
        "barriers": (".barrier", len(t.barriers)),
        "cuda": ("#view .ln", len(t.cuda)),
        "report": (".sheet table tr[data-at]", len(t.costs.entries[0].accesses)),
        "ir": ("#view .ln", len(t.stages[0].lines)),
    }
    for tab, (selector, count) in expected.items():
        shown.page.click(f'[data-tab="{tab}"]')
        assert shown.page.get_attribute("#tabs .on", "data-tab") == tab
        assert shown.count(selector) == count, tab


def test_a_source_line_is_linked_through_everything(shown: Opened) -> None:
    t = trace("gemm")
    place = f"0:{line_of('gemm', 'T.gemm(')}"
    accesses = [a for b in t.barriers for c in b.conflicts for a in (c.first, c.second)]
    shown.page.click('[data-pass="lower-tiles"]')
    shown.page.click(f'#side [data-at="{place}"] >> nth=0')
    lowered_tiles = next(s for s in t.stages if s.name == "lower-tiles")
    assert shown.count("#view .ln.sel") == sum(l.place == place for l in lowered_tiles.lines) > 0
    for tab, selector, count in (
        ("cuda", "#view .ln.sel", sum(l.place == place for l in t.cuda)),
        ("pipeline", "#view tr.sel", 1),
        ("barriers", ".access.sel", sum(a.place == place for a in accesses)),
        ("report", "#view tr.sel", sum(a.place == place for a in t.costs.entries[0].accesses)),
    ):
        shown.page.click(f'#status [data-goto="{tab}"]')
        assert shown.count(selector) == count > 0, tab
    shown.page.keyboard.press("Escape")
    assert shown.count(".sel") == 0
    shown.page.click('[data-tab="cuda"]')  # and the other way round, by the pointer alone
    shown.page.locator(f'#view [data-at="{place}"]').first.hover()
    assert shown.count("#side .ln.hot") == sum(p == place for p in t.sources[0].places) > 1


def test_hovering_a_layout_says_what_holds_the_element(shown: Opened) -> None:
    c_local = next(p for p in trace("gemm").layouts if p.buffer == "C_local")
    shown.page.click('[data-tab="layouts"]')
    shown.page.click('.layouts [data-buffer="C_local"]')
    element = 2 * c_local.columns + 3
    shown.page.hover(f'#lens [data-element="{element}"]')
    thread, register = c_local.threads[element], c_local.places[element]
    said = shown.page.inner_text(".info")
    assert f"C_local[2, 3] is in register {register} of thread {thread}" in said
    assert f"holds {c_local.num_regs} of" in said
    path = shown.page.get_attribute("#mates", "d")
    assert path.count("M") == c_local.num_regs
    mates = shown.page.locator("#lens .mate").evaluate_all("list => list.map((e) => Number(e.dataset.element))")
    assert mates and all(c_local.threads[n] == thread for n in mates)
    shown.page.select_option(".layouts select", "register")
    shown.page.click('.layouts [data-buffer="A_shared"]')
    a_shared = next(p for p in trace("gemm").layouts if p.buffer == "A_shared")
    shown.page.hover('#lens [data-element="33"]')
    byte = a_shared.places[33] * a_shared.bits // 8
    assert f"byte {byte}, bank {byte // 4 % 32}" in shown.page.inner_text(".info")


def test_clicking_the_small_picture_moves_the_window(shown: Opened) -> None:
    shown.page.click('[data-tab="layouts"]')
    shown.page.click('.layouts [data-buffer="C_local"]')
    box = shown.page.locator("#overview").bounding_box()
    shown.page.mouse.click(box["x"] + box["width"] - 4, box["y"] + box["height"] - 4)
    c_local = next(p for p in trace("gemm").layouts if p.buffer == "C_local")
    assert shown.count(f'#lens [data-element="{c_local.rows * c_local.columns - 1}"]') == 1


def test_hovering_pipelines_and_memory_tells_more(shown: Opened) -> None:
    shown.page.click('[data-tab="pipeline"]')
    shown.page.hover('.gantt .bar[data-iteration="1"][data-row="0"]')
    assert "iteration 1" in shown.page.inner_text("#tip") and "in flight" in shown.page.inner_text("#tip")
    shown.page.click('[data-tab="shared"]')
    shown.page.hover('.map .tenant[data-buffer="A_shared"] >> nth=0')
    assert "A_shared" in shown.page.inner_text("#tip")


def test_a_barrier_leads_to_its_line(shown: Opened) -> None:
    shown.page.click('[data-tab="barriers"]')
    shown.page.click(".barrier button")
    assert shown.page.get_attribute("#passes .on", "data-pass") == "insert-barriers"
    assert shown.texts("#view .found.now code") == ["barrier"]


def test_search(shown: Opened) -> None:
    last = trace("gemm").stages[-1]
    shown.page.click(f'[data-pass="{last.name}"]')
    shown.page.keyboard.press("/")
    shown.page.keyboard.type("ldmatrix")
    found = sum("ldmatrix" in l.text for l in last.lines)
    assert shown.count("#view .found") == found > 1
    assert shown.page.inner_text("#count") == f"1 of {found}"
    shown.page.keyboard.press("Enter")
    assert shown.page.inner_text("#count") == f"2 of {found}"
    with_hits = [s.name for s in trace("gemm").stages if any("ldmatrix" in l.text for l in s.lines)]
    assert shown.count("#passes .hits") == len(with_hits)
    shown.page.keyboard.press("Escape")
    assert shown.count("#view .found") == 0


def test_the_page_fits_the_window_in_both_colours(browser: Any, files: dict[str, Path]) -> None:
    backgrounds = []
    for scheme in ("light", "dark"):
        opened = Opened(browser, files["trace"], scheme)
        size = opened.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        assert size == [WIDTH, HEIGHT]
        backgrounds.append(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        opened.close()
    assert backgrounds[0] != backgrounds[1]


def test_the_timeline_page(browser: Any, files: dict[str, Path]) -> None:
    opened = Opened(browser, files["timeline"])
    page, place = opened.page, f"0:{line_of('gemm', 'T.gemm(')}"
    assert opened.count(".ev") == 11
    page.hover(".lane.warp .ev.issue rect >> nth=0")
    assert "cp_async_16 x 4 A_shared@0, 2048 bytes" in page.inner_text("#tip")
    page.click(".lane.warp .ev.mma rect >> nth=0")
    assert opened.count("#side .ln.sel") == sum(p == place for p in trace("gemm").sources[0].places)
    assert opened.count(".ev.sel") == 6 and opened.count("svg.dim") == 1
    assert "warps busy 16 ticks, waiting 129 of 156" in page.inner_text("#status")
    page.keyboard.press("Escape")
    assert opened.count(".sel") == 0
    before = float(page.get_attribute("#timeline", "width"))
    page.keyboard.press("+")
    assert float(page.get_attribute("#timeline", "width")) > 1.3 * before
    page.evaluate("document.getElementById('chart').scrollLeft = 200")
    page.wait_for_function("document.querySelector('.name').getAttribute('transform') === 'translate(200 0)'")
    assert page.locator(".lane.warp .name text").first.bounding_box()["x"] >= 0
    page.keyboard.press("0")
    assert float(page.get_attribute("#timeline", "width")) == before
    page.click(f'#side [data-at="0:{line_of("gemm", "T.copy(A[by")}"] >> nth=0')
    assert opened.count(".ev.sel") == 4
    opened.close()
