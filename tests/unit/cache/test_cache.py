"""Entries appear whole or not at all; damage is noticed; the size is bounded; the key is everything that went in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiledsl.cache import entries, store, upkeep
from tiledsl.cli import main
from tiledsl.errors import TileError

HOUR = 3600.0


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_DIR", str(tmp_path))


def names(place: Path) -> list[str]:
    return sorted(p.name for p in place.iterdir())


def age(place: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(place, (then, then))


def test_what_is_written_is_read() -> None:
    store.write("cubin", "k", {"a": b"1", "b": b"22"})
    assert store.read("cubin", "k") == {"a": b"1", "b": b"22"}
    assert store.read("cubin", "other") is None


def test_an_entry_that_is_there_stays_but_for_replace() -> None:
    store.write("tuning", "k", {"a": b"1"})
    store.write("tuning", "k", {"a": b"2"})
    assert store.read("tuning", "k") == {"a": b"1"}
    store.write("tuning", "k", {"a": b"2"}, replace=True)
    assert store.read("tuning", "k") == {"a": b"2"}


def flip(place: Path, at: int) -> None:
    data = bytearray(place.read_bytes())
    data[at % len(data)] ^= 1
    place.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a bit": lambda e: flip(e / "a", 3),
    "a file shorter": lambda e: (e / "a").write_bytes((e / "a").read_bytes()[:-1]),
    "a file missing": lambda e: (e / "b").unlink(),
    "no manifest": lambda e: (e / entries.MANIFEST).unlink(),
    "half a manifest": lambda e: (e / entries.MANIFEST).write_text((e / entries.MANIFEST).read_text()[:40]),
    "a manifest of other things": lambda e: (e / entries.MANIFEST).write_text("[1, 2]"),
    "the manifest of another entry": lambda e: (e / entries.MANIFEST).write_text(
        json.dumps({**json.loads((e / entries.MANIFEST).read_text()), "key": "other"})
    ),
    "a directory in its place": lambda e: [p.unlink() for p in e.iterdir()][:0],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_dropped_and_mended(tmp_path: Path, damage: str) -> None:
    store.write("cubin", "k", {"a": b"12345", "b": b"6"})
    DAMAGES[damage](tmp_path / "cubin" / "k")
    assert store.read("cubin", "k") is None
    assert names(tmp_path / "cubin") == []
    store.write("cubin", "k", {"a": b"12345", "b": b"6"})
    assert store.read("cubin", "k") == {"a": b"12345", "b": b"6"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.sampled_from(["a", "b"]))
def test_any_bit_of_any_file(tmp_path: Path, at: int, name: str) -> None:
    store.write("cubin", "k", {"a": bytes(range(200)), "b": b"text"})
    flip(tmp_path / "cubin" / "k" / name, at)
    assert store.read("cubin", "k") is None


def test_a_damaged_entry_is_replaced_by_a_writer_that_did_not_read(tmp_path: Path) -> None:
    store.write("cubin", "k", {"a": b"1"})
    flip(tmp_path / "cubin" / "k" / "a", 0)
    store.write("cubin", "k", {"a": b"1"})
    assert store.read("cubin", "k") == {"a": b"1"}


def test_no_litter_is_left(tmp_path: Path) -> None:
    for _ in range(2):
        store.write("cubin", "k", {"a": b"1"})
    assert names(tmp_path / "cubin") == ["k"]


def test_switches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store.write("cubin", "k", {"a": b"1"})
    store.write("tuning", "k", {"a": b"1"})
    monkeypatch.setenv("TILEDSL_ALWAYS_COMPILE", "1")
    assert store.read("cubin", "k") is None
    assert store.read("tuning", "k") == {"a": b"1"}
    monkeypatch.setenv("TILEDSL_NO_CACHE", "1")
    assert store.read("tuning", "k") is None
    store.write("cubin", "other", {"a": b"1"})
    assert not (tmp_path / "cubin" / "other").exists()


def test_the_key_keeps_parts_apart() -> None:
    assert store.key_of("ab", "c") != store.key_of("a", "bc")
    assert store.key_of("x") == store.key_of("x")


def test_an_unwritable_directory_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_DIR", "/proc/nowhere")
    store.write("cubin", "k", {"a": b"1"})
    assert store.read("cubin", "k") is None
    with store.locked("k"):
        pass


# ---- entries whose files are opened by name


def test_a_folder_is_built_once_and_again_when_damaged(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(place: Path) -> None:
        built.append(place)
        (place / "lib.so").write_bytes(b"machine code")

    first = store.folder("cpu-kernel", ["text"], build)
    assert store.folder("cpu-kernel", ["text"], build) == first
    assert (len(built), (first / "lib.so").read_bytes()) == (1, b"machine code")
    assert store.folder("cpu-kernel", ["other"], build) != first
    flip(first / "lib.so", 0)
    script = (
        "from tiledsl.cache import store; from pathlib import Path\n"
        "print(store.folder('cpu-kernel', ['text'], lambda p: (p / 'lib.so').write_bytes(b'machine code')))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)  # a process asks once whether an entry is whole
    assert (first / "lib.so").read_bytes() == b"machine code"


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def build(place: Path) -> None:
        (place / "half").write_bytes(b"1")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.folder("cpu-kernel", ["text"], build)
    assert names(tmp_path / "cpu-kernel") == []


# ---- the size


def fill(count: int, size: int = 1000) -> None:
    """Entries k0, k1, ..., the first used longest ago."""
    for i in range(count):
        store.write("cubin", f"k{i}", {"a": bytes(size)})
        age(entries.place_of("cubin", f"k{i}"), HOUR - i)


def test_what_was_not_used_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fill(10)
    each = max(e.bytes for e in upkeep.stored())
    before = sum(e.bytes for e in upkeep.stored())
    store.read("cubin", "k0")  # a use
    assert upkeep.trim(10 * each) == 0
    freed = upkeep.trim(5 * each)
    assert freed == before - sum(e.bytes for e in upkeep.stored())
    assert names(tmp_path / "cubin") == ["k0", "k7", "k8", "k9"]


def test_writing_keeps_the_size_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_SIZE", "20 kB")
    for i in range(60):
        store.write("cubin", f"k{i}", {"a": bytes(1000)})
        assert sum(e.bytes for e in upkeep.stored()) <= 20_000
    assert store.read("cubin", "k59") is not None


def test_the_look_at_everything_is_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(upkeep, "trim", lambda allowed: looks.append(allowed))
    monkeypatch.setenv("TILEDSL_CACHE_SIZE", "64 MB")
    for _ in range(10_000):
        upkeep.grown(1000)  # 10 MB: ten looks are expected
    assert 1 <= len(looks) <= 40
    assert set(looks) == {64_000_000}


def test_files_that_are_opened_by_name_are_held(tmp_path: Path) -> None:
    place = store.folder("cpu-kernel", ["text"], lambda p: (p / "lib.so").write_bytes(bytes(5000)))
    assert upkeep.trim(1) == 0
    age(place, 2 * HOUR)
    assert upkeep.trim(1) > 5000
    assert not place.exists()


@pytest.mark.parametrize(
    ("given", "expected"), [("0", 0), ("500 MB", 500_000_000), ("2G", 2 * 10**9), ("1.5k", 1500), ("7", 7)]
)
def test_sizes(monkeypatch: pytest.MonkeyPatch, given: str, expected: int) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_SIZE", given)
    assert upkeep.limit() == expected


def test_a_size_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_SIZE", "much")
    with pytest.raises(TileError, match=r"TD0920: TILEDSL_CACHE_SIZE is 'much'"):
        store.write("cubin", "k", {"a": b"1"})


def test_litter_of_killed_processes_is_swept(tmp_path: Path) -> None:
    home = tmp_path / "cubin"
    for name in (".new-now", ".new-long-ago", ".old-1"):
        (home / name).mkdir(parents=True)
        (home / name / "a").write_bytes(b"1")
    age(home / ".new-long-ago", 2 * HOUR)
    upkeep.sweep()
    assert names(home) == [".new-now"]


# ---- the command


def test_log(capsys: pytest.CaptureFixture[str]) -> None:
    store.write("cubin", "k" * 20, {"a": bytes(1234)}, "gemm for sm_80")
    assert main(["cache", "log"]) == 0
    shown = capsys.readouterr().out
    assert "cubin        1 entries" in shown and "kkkkkkkkkkkk" in shown and "gemm for sm_80" in shown
    assert "at most 2 GB" in shown
    assert main(["cache", "log", "--json", "--kind", "cubin"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["kind"], row["key"], row["about"]) == ("cubin", "k" * 20, "gemm for sm_80")
    assert time.time() - row["made"] < HOUR


def test_verify(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fill(3)
    assert main(["cache", "verify"]) == 0
    flip(tmp_path / "cubin" / "k1" / "a", 9)
    assert main(["cache", "verify"]) == 1
    assert "damaged, dropped: cubin k1\n2 entries are whole, 1 were damaged" in capsys.readouterr().out
    assert names(tmp_path / "cubin") == ["k0", "k2"]


def test_clear(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fill(3)
    store.write("tuning", "k", {"a": b"1"})
    age(tmp_path / "cubin" / "k0", 3 * 24 * HOUR)
    assert main(["cache", "clear", "--older-than", "2"]) == 0
    assert names(tmp_path / "cubin") == ["k1", "k2"]
    assert main(["cache", "clear", "--kind", "cubin"]) == 0
    assert (names(tmp_path / "cubin"), names(tmp_path / "tuning")) == ([], ["k"])
    assert "2 entries removed" in capsys.readouterr().out
