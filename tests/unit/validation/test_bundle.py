"""What a repro bundle holds comes back: programs, inputs of every dtype and their strides, facts."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tiledsl.cli import main
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.errors import TileError
from tiledsl.ir.dtypes import DTYPES, HANDLE
from tiledsl.ir.parser import parse
from tiledsl.ir.walk import same
from tiledsl.validation.bundle import Bundle, read_bundle, write_bundle

COPY = """\
kernel copy(A: global float32[8], B: global float32[8]) {
  launch copy(b in 1) threads(t in 32) {
    copy A -> B
  }
}
"""


@pytest.mark.parametrize("dtype", [t for t in DTYPES.values() if t is not HANDLE], ids=str)
def test_arrays_of_every_dtype_come_back(dtype: object, tmp_path: Path) -> None:
    holder = numpy_dtype(dtype)  # type: ignore[arg-type]
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(holder)
    found = read_bundle(write_bundle(Bundle("law", "", COPY, inputs={"A": array}), tmp_path)).inputs["A"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


def test_strides_scalars_and_special_values_come_back(tmp_path: Path) -> None:
    wide = np.full((3, 8), np.nan, ml_dtypes.bfloat16)
    wide[:, :5] = np.arange(15).reshape(3, 5)
    inputs = {"A": wide[:, :5], "n": 7, "x": 0.5, "flag": True, "empty": np.zeros((0, 4), np.float32)}
    found = read_bundle(write_bundle(Bundle("law", "", COPY, inputs=inputs), tmp_path)).inputs
    assert found["A"].strides == wide[:, :5].strides
    assert found["A"].tobytes() == wide[:, :5].tobytes()
    assert (found["n"], found["x"], found["flag"], found["empty"].shape) == (7, 0.5, True, (0, 4))
    assert [type(found[n]) for n in ("n", "x", "flag")] == [int, float, bool]


def test_programs_facts_and_the_command_are_there(tmp_path: Path) -> None:
    kernel = parse(COPY)
    path = write_bundle(Bundle("unroll", "B[0] differs", kernel, kernel, {}, "sm_90a", {"seed": 3}), tmp_path)
    found = read_bundle(path)
    assert same(parse(str(found.before)), kernel)
    assert same(parse(str(found.after)), kernel)
    assert (found.what, found.message, found.target, found.facts) == ("unroll", "B[0] differs", "sm_90a", {"seed": 3})
    readme = (path / "README.md").read_text()
    assert f"tiledsl repro {path}" in readme
    assert f"tiledsl opt {path}/before.tir -p unroll --target sm_90a" in readme


def test_bundles_never_overwrite_each_other(tmp_path: Path) -> None:
    paths = [write_bundle(Bundle("law 1: a/b", str(i), COPY), tmp_path) for i in range(3)]
    assert [p.name for p in paths] == ["copy-law-1-a-b", "copy-law-1-a-b-2", "copy-law-1-a-b-3"]
    assert [read_bundle(p).message for p in paths] == ["0", "1", "2"]


def test_the_directory_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_REPRO", str(tmp_path / "here"))
    assert write_bundle(Bundle("law", "", COPY)).parent == tmp_path / "here"


def test_TD0710_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(TileError, match="TD0710"):
        read_bundle(tmp_path)
    path = write_bundle(Bundle("law", "", COPY), tmp_path)
    (path / "meta.json").write_text("{")
    with pytest.raises(TileError, match="TD0710"):
        read_bundle(path)


def test_TD0715_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TileError, match="TD0715"):
        write_bundle(Bundle("law", "", COPY), tmp_path / "file")


def test_a_law_says_the_command_that_shows_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"command": "python -m tiledsl.testing.fuzz --law L1 --seed 7"}
    path = write_bundle(Bundle("L1", "places meet", "layout = ...", facts=facts), tmp_path)
    assert f"    {facts['command']}\n" in (path / "README.md").read_text()
    assert main(["repro", str(path)]) == 1
    assert capsys.readouterr().out == f"L1: places meet\nto see it again: {facts['command']}\n"


def test_the_README_of_a_text_names_its_files(tmp_path: Path) -> None:
    path = write_bundle(Bundle("emit", "", COPY, "TDS_KERNEL(32, 1) copy() {}"), tmp_path)
    assert (path / "after.cu").read_text() == "TDS_KERNEL(32, 1) copy() {}"
    assert "`after.cu`" in (path / "README.md").read_text()
    assert read_bundle(path).after == "TDS_KERNEL(32, 1) copy() {}"
