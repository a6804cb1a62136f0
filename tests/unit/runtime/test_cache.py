"""Entries appear whole or not at all; damage is noticed; the key is everything the compiler was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiledsl.runtime import cache


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_DIR", str(tmp_path))


def test_what_is_written_is_read() -> None:
    cache.write("cubin", "k", {"a": b"1", "b": b"22"})
    assert cache.read("cubin", "k") == {"a": b"1", "b": b"22"}
    assert cache.read("cubin", "other") is None


def test_damage_is_noticed_and_mended(tmp_path: Path) -> None:
    cache.write("cubin", "k", {"a": b"1"})
    (tmp_path / "cubin" / "k" / "a").write_bytes(b"2")
    assert cache.read("cubin", "k") is None
    cache.write("cubin", "k", {"a": b"1"})
    assert cache.read("cubin", "k") == {"a": b"1"}


def test_no_staging_directory_is_left(tmp_path: Path) -> None:
    for _ in range(2):
        cache.write("cubin", "k", {"a": b"1"})
    assert [p.name for p in (tmp_path / "cubin").iterdir()] == ["k"]


def test_switches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache.write("cubin", "k", {"a": b"1"})
    monkeypatch.setenv("TILEDSL_ALWAYS_COMPILE", "1")
    assert cache.read("cubin", "k") is None
    monkeypatch.setenv("TILEDSL_NO_CACHE", "1")
    cache.write("cubin", "other", {"a": b"1"})
    assert not (tmp_path / "cubin" / "other").exists()


def test_the_key_keeps_parts_apart() -> None:
    assert cache.key_of("ab", "c") != cache.key_of("a", "bc")
    assert cache.key_of("x") == cache.key_of("x")


def test_an_unwritable_directory_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_DIR", "/proc/nowhere")
    cache.write("cubin", "k", {"a": b"1"})
    assert cache.read("cubin", "k") is None
