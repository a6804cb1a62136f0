"""Programs in TileLang's style, one for each family of features, run by `tiledsl.compat.tilelang`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tiledsl.cpu.toolchain import find_compiler

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
EMITTED = ("matrix_product", "intrinsics")  # also as emitted C++; what C++ means is tested with every example


def run(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"tilelang_program_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_program(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TILEDSL_BACKEND", "simt")
    if path.stem == "tuned":
        pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
        monkeypatch.setenv("TILEDSL_CACHE_DIR", str(tmp_path))
    run(path)


@pytest.mark.parametrize("name", EMITTED)
def test_program_as_emitted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_compiler() is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("TILEDSL_BACKEND", "cpu")
    run(next(p for p in PROGRAMS if p.stem == name))


def test_programs_change_nothing_but_the_import() -> None:
    """What is left of a program without its imports names neither tiledsl nor this room."""
    assert len(PROGRAMS) >= 10
    for path in PROGRAMS:
        text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith(("import", "from")))
        assert "tiledsl" not in text and "tilelang.language as T" in path.read_text(), path.name
