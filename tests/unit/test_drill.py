"""docs/contributing.md, "A tile operation", followed: four files are changed, and the operation is there everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# file -> what is written before which line of it
STEPS = {
    "ir/tile.py": (
        "REARRANGEMENTS: tuple[type[Rearrangement], ...] = (Transpose,)",
        '''@dataclass(frozen=True, slots=True)
class Flip(Rearrangement):
    """`dst[..., i] = src[..., n - 1 - i]` along the last dimension, of n elements."""

    word = "flip"

    def extents_of(self, src: tuple[int, ...]) -> tuple[int, ...] | None:
        return src or None

    def goes_to(self, point: Point, src: tuple[int, ...]) -> Point:
        return (*point[:-1], src[-1] - 1 - point[-1])

    def comes_from(self, point: Point, src: tuple[int, ...]) -> Point:
        return self.goes_to(point, src)


REARRANGEMENTS: tuple[type[Rearrangement], ...] = (Transpose, Flip)''',
    ),
    "cpu/tile_ops.py": (
        "OPERATIONS: dict[type, Callable[[Any, Any], None]] = {",
        """def flip(m: TileMachine, s: Any) -> None:
    tile = convert(read(m, s.src), s.src.buffer.dtype, s.dst.buffer.dtype)
    write(m, s.dst, _fit(np.flip(tile, -1), s.dst))


from tiledsl.ir.tile import Flip

OPERATIONS: dict[type, Callable[[Any, Any], None]] = {
    Flip: flip,""",
    ),
    "language/tiles.py": (
        "def transpose(src: Any, dst: Any) -> None:",
        '''def flip(src: Any, dst: Any) -> None:
    """`dst[..., i] = src[..., n - 1 - i]` along the last dimension: `T.flip(A_shared, B_shared)`."""
    from tiledsl.ir.tile import Flip

    tracer = begin("T.flip")
    x, y = regions(tile_of(src, "T.flip", "src"), tile_of(dst, "T.flip", "dst"), "T.flip")
    emit_tile(tracer, "T.flip", Flip(x, y, span=tracer.here()))


def transpose(src: Any, dst: Any) -> None:''',
    ),
    "language/__init__.py": ("from tiledsl.language.tiles import ", "from tiledsl.language.tiles import flip, "),
}

USE = '''
import sys

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.ir.walk import same
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.tile import REARRANGEMENTS
from tiledsl.ir.verify import verify


@tiledsl.kernel
def flipped(A: T.Tensor((40, 48), "float16"), B: T.Tensor((40, 48), "float32")):
    """From global to shared memory, to registers, and back."""
    with T.Kernel(3, 3, threads=64) as (bx, by):
        near, own = T.alloc_shared((16, 16), "float16"), T.alloc_fragment((16, 16), "float32")
        T.flip(A[by * 16 : by * 16 + 16, bx * 16 : bx * 16 + 16], near)
        T.flip(near, own)
        T.flip(own, B[by * 16 : by * 16 + 16, bx * 16 : bx * 16 + 16])


a = np.arange(40 * 48).reshape(40, 48).astype(np.float16)
expected = np.concatenate([np.flip(p, 1) for p in np.split(a.astype(np.float32), 3, axis=1)], axis=1)
for backend in sys.argv[1:]:
    b = np.zeros((40, 48), np.float32)
    flipped(a, b, backend=backend)
    np.testing.assert_array_equal(b, expected, err_msg=backend)
for target in ("sm_80", "sm_90a"):
    for stage in flipped.compile(target=target).lowered.stages:
        verify(stage.kernel)
        assert same(parse(text(stage.kernel)), stage.kernel)
assert "flip" in text(flipped.compile(target="sm_80").lowered.stages[0].kernel)
print(*(kind.word for kind in REARRANGEMENTS))
'''


@pytest.mark.cxx
def test_four_files_make_a_tile_operation(tmp_path: Path) -> None:
    """In the text form, in both interpreters, in every pass with its verifier, and in the emitted text."""
    shutil.copytree(ROOT / "tiledsl", tmp_path / "tiledsl", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (before, written) in STEPS.items():
        file = tmp_path / "tiledsl" / name
        whole = file.read_text()
        assert whole.count(before) == 1, name
        file.write_text(whole.replace(before, written))
    (tmp_path / "use.py").write_text(USE)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TILEDSL_VERIFY": "1", "TILEDSL_VALIDATE": "1"}
    command = [sys.executable, "use.py", "tile", "simt", "cpu"]
    out = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines()[-1] == "transpose flip"


def test_the_page_names_these_files() -> None:
    page = (ROOT / "docs" / "contributing.md").read_text()
    section = page.partition("## A tile operation\n")[2].partition("\n## ")[0]
    assert [name for name in STEPS if f"`{name}`" not in section] == []
