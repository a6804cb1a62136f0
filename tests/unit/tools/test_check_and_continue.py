"""`tiledsl check`, and `tiledsl run` from edited IR text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tiledsl
from tiledsl.cli import COMMANDS, GROUPS, main
from tiledsl.cpu import toolchain
from tiledsl.passes.pipeline import PASSES
from tiledsl.tools.loading import read_ir

ROOT = Path(__file__).parents[3]

FILE = """\
import numpy as np
import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

N = 64

def scaled(n, factor=2.0):
    @tiledsl.kernel(out_idx=-1)
    def scale(A: T.Tensor((n,), T.float32), B: T.Tensor((n,), T.float32)):
        with T.Kernel(T.ceildiv(n, 64), threads=64) as b:
            tile = T.alloc_shared((64,), T.float32)
            T.copy(A[b * 64 : b * 64 + 64], tile)
            for i in T.Parallel(64):
                B[b * 64 + i] = tile[63 - i] * factor
    return scale

scale = scaled(128)

@tiledsl.kernel
def total(A: T.Tensor((4, N), T.float32), total: T.Tensor((1,), T.float32)):
    with T.Kernel(4, threads=64) as b:
        for i in T.Parallel(N):
            if i == 0:
                total[0] = total[0] + A[b, i]

@tiledsl.kernel
def constant(A):
    M, K = T.const("M, K")
    A: T.Tensor((M, K), T.float32)
    B = T.empty((M, K), T.float32)
    with T.Kernel(T.ceildiv(M, 16), threads=32) as b:
        T.copy(A[b * 16, 0], B[b * 16 : b * 16 + 16, 0:K])
    return B
"""

CASES = """
def turned(A):
    return {"B": (2 * A.reshape(-1, 64)[:, ::-1]).reshape(-1)}

def cases():
    yield Case("scale-128", scale, lambda draw: {"A": draw(128, dtype=np.float32)}, turned)
    yield Case("scale-64", scaled(64), lambda draw: {"A": draw(64, dtype=np.float32)}, turned)
    yield Case("wrong-64", scaled(64, 3.0), lambda draw: {"A": draw(64, dtype=np.float32)}, turned)
    yield Case("constant-32x8", constant, lambda draw: {"A": draw(32, 8, dtype=np.float32)}, lambda A: {"B": A})
"""


@pytest.fixture(autouse=True)
def numpy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here is the same with a compiler, only slower."""
    monkeypatch.setattr(toolchain, "find_compiler", lambda: None)


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "checked.py").write_text(FILE + CASES)
    return str(tmp_path / "checked.py")


def output(capsys: pytest.CaptureFixture[str], *words: str, expected: int = 0) -> str:
    capsys.readouterr()
    got = main([*words])
    shown = capsys.readouterr()
    assert got == expected, shown.out + shown.err
    return shown.out + shown.err


# ---- check


def test_check_a_kernel(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "check", f"{file}:scale", "--schedules", "3", "--target", "sm_90a")
    assert shown.startswith("scale for sm_90a: no finding in 3 schedules on thread-stage IR in NumPy")
    assert "scale for sm_80" in output(capsys, "check", f"{file}:scaled", "-a", "n=100", "--schedules", "1")
    found = output(capsys, "check", f"{file}:total", expected=1)
    assert "TD0814" in found and "total[0] = total[0]" in found
    assert "made inputs (small integers" in output(capsys, "check", f"{file}:constant", "-a", "M=20", "-a", "K=8")


def test_check_the_cases_of_a_file(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "check", file, "--schedules", "2", expected=1)
    assert "TD0892: 'B' is not what the reference gives" in shown
    assert shown.splitlines()[-1] == "4 cases, 1 with findings: wrong-64"
    assert "2 cases, 0 with findings" in output(capsys, "check", f"{file}:scale-*", "--schedules", "1")
    assert output(capsys, "check", f"{file}:scale-64", "--schedules", "1").startswith("scale-64 for sm_80: no finding")


def test_check_as_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(output(capsys, "check", file, "--schedules", "1", "--json", expected=1))
    assert [(r["kernel"], r["ok"]) for r in data][1:3] == [("scale-64", True), ("wrong-64", False)]
    assert data[2]["findings"][0]["code"] == "TD0892"


def test_check_ir_text(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for after in ("trace", "count-versions"):
        text = str(tmp_path / f"{after}.tir")
        output(capsys, "dump", f"{file}:scale", "--after", after, "-o", text)
        assert "no finding" in output(capsys, "check", text, "--schedules", "1")


def test_check_names_what_there_is(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "check", f"{file}:sclae", expected=2)
    assert "TD0724" in shown and "scale-128, scale-64" in shown
    assert "TD0634" in output(capsys, "check", f"{file}:scale", "--schedules", "0", expected=2)
    assert "TD0602" in output(capsys, "check", f"{file}:scale", "--size", "m=3", expected=2)


def test_cases_are_kernels_for_every_command(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "kernel scale(" in output(capsys, "dump", f"{file}:scale-64", "--after", "trace")
    assert "float32[32, 8]" in output(capsys, "dump", f"{file}:constant-32x8", "--after", "trace")


def test_every_case_of_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "check", str(ROOT / "examples" / "elementwise.py"), "--schedules", "1")
    assert "4 cases, 0 with findings" in shown


# ---- run --from


@pytest.fixture
def dump(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.setenv("TILEDSL_DUMP", "all")
    monkeypatch.setenv("TILEDSL_DUMP_DIR", str(tmp_path / "dump"))
    output(capsys, "dump", f"{file}:scale")
    monkeypatch.delenv("TILEDSL_DUMP")
    return tmp_path / "dump"


@pytest.mark.parametrize("number, name", [*enumerate(PASSES, 1)])
def test_the_pipeline_goes_on_from_every_dump(
    number: int, name: str, dump: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(dump / f"{number:02}-{name}.tir")
    whole = output(capsys, "run", str(dump / "00-input.tir")).splitlines()[1]
    assert whole.startswith("  B: float32[128] crc32")
    assert whole in output(capsys, "run", path), "a dump of any stage runs as it is"
    if number < len(PASSES):
        following = list(PASSES)[number]
        shown = output(capsys, "run", path, "--from", following)
        assert shown.count(whole) == 2 and shown.endswith("the same results as before these passes\n")


def test_edited_text_is_another_kernel(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = dump / "11-lower-tiles.tir"
    before = output(capsys, "run", str(path)).splitlines()[1]
    edited = dump / "edited.tir"
    edited.write_text(path.read_text().replace("* 2.0", "* 3.0"))
    assert edited.read_text() != path.read_text()
    shown = output(capsys, "run", str(edited), "--from", "guard-bounds", "--print-changed")
    assert before not in shown and "# ---- after insert-barriers" in shown
    assert "# ---- after normalise" not in shown
    found = output(capsys, "run", str(edited), "--from", "guard-bounds", "--against", str(path), expected=1)
    assert "B differs from that from" in found and "elements differ, the first is" in found


def test_until_and_patterns(file: str, dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "run", f"{file}:scale", "--until", "infer-layouts", "--print-changed")
    assert "scale on tile:" in shown and "# ---- after infer-layouts" in shown
    assert "scale on simt:" in output(
        capsys, "run", str(dump / "11-*.tir"), "--from", "guard-bounds", "--until", "unroll"
    )
    assert "TD0725" in output(capsys, "run", str(dump / "0*.tir"), expected=2)
    assert "TD0710" in output(capsys, "run", str(dump / "99-*.tir"), expected=2)


def test_a_pass_that_is_wrong_is_seen(
    dump: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comparison compares: a text whose tile stage means something else than what the passes make of it."""
    import tiledsl.tools.run as tool

    honest = tool.run_pipeline
    edited = dump / "other.tir"
    edited.write_text((dump / "00-input.tir").read_text().replace("* 2.0", "* 3.0"))

    def wrong(kernel: object, passes: object, observe: object) -> object:
        return honest(read_ir(str(edited)), passes, observe)

    monkeypatch.setattr(tool, "run_pipeline", wrong)
    shown = output(capsys, "run", str(dump / "00-input.tir"), "--from", "normalise", expected=1)
    assert "B differs from that before these passes" in shown


def test_wrong_passes(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(dump / "11-lower-tiles.tir")
    shown = output(capsys, "run", path, "--from", "lower-tiles", expected=2)
    assert "TD0722" in shown and "--from guard-bounds" in shown
    assert "TD0761" in output(capsys, "run", path, "--from", "guard", expected=2)
    assert "TD0723" in output(capsys, "run", path, "--from", "unroll", "--until", "vectorise", expected=2)


# ---- the command


def test_help_is_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for title, commands in GROUPS.items():
        part = shown.split(f"{title}:\n")[1].split("\n\n")[0]
        assert [line.split()[0] for line in part.splitlines()] == list(commands)
    assert {n for g in GROUPS.values() for n in g} == set(COMMANDS)
    tools = {p.stem for p in (Path(tiledsl.__file__).parent / "tools").glob("*.py")}
    assert set(COMMANDS) <= tools
