"""Makes the pictures of this folder anew: `python docs/pictures/make.py`. Needs playwright, pillow and chromium."""

from __future__ import annotations

import shutil
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tiledsl.cli import main

COLOURS = 256
HERE = Path(__file__).parent
GEMM = "examples/gemm.py:gemm"
SIZES = ["-a", "M=256", "-a", "N=256", "-a", "K=256", "--target", "sm_80"]
# picture -> (page, what follows # in its address, what to hover)
PICTURES = {
    "trace-diff": ("trace", "pass=software-pipeline&tab=ir&form=diff&at=0:{gemm}", ""),
    "trace-layouts": ("trace", "pass=infer-layouts&tab=layouts", "#lens [data-element='387']"),
    "trace-pipeline": ("trace", "pass=software-pipeline&tab=pipeline", ".gantt .bar[data-row='0'][data-iteration='3']"),
    "trace-shared-memory": ("trace", "pass=plan-shared-memory&tab=shared&at=0:{a_shared}", ""),
    "trace-barriers": ("trace", "pass=insert-barriers&tab=barriers&at=0:{gemm}", ""),
    "trace-report": ("trace", "pass=count-versions&tab=report", ""),
    "timeline": ("timeline", "", ".lane.copy .ev >> nth=2"),
}


def source_line(text: str) -> int:
    """The first line of the example's main kernel that has `text`."""
    return next(n for n, line in enumerate(Path("examples/gemm.py").read_text().split("\n"), 1) if text in line)


def picture(page: Page) -> bytes:
    """A screenshot with few colours, a third of its size."""
    out, shot = BytesIO(), Image.open(BytesIO(page.screenshot())).convert("RGB")
    shot.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def make(folder: Path) -> None:
    lines = {"gemm": source_line("T.gemm("), "a_shared": source_line("A_shared = ")}
    for command in ("trace", "timeline"):
        assert main([command, GEMM, *SIZES, "-o", str(folder / f"{command}.html")]) == 0
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (file, place, hovered) in PICTURES.items():
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{(folder / file).as_uri()}.html#{place.format(**lines)}")
            if name == "trace-layouts":
                page.click(".layouts [data-buffer='C_local']")
            if hovered:
                page.hover(hovered)
            (HERE / f"{name}.png").write_bytes(picture(page))
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        make(Path(made))
