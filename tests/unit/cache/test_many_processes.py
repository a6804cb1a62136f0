"""Many processes at once, and processes that are killed: what a cache gives is right, and it goes on working."""

from __future__ import annotations

import ast
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hammer import KEYS, build, content

from tiledsl.cache import entries, store, upkeep

HAMMER = Path(__file__).with_name("hammer.py")


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TILEDSL_CACHE_SIZE", "0")  # evictions are part of the steps


def require_right(keys: Sequence[str] = KEYS) -> None:
    """Every entry is whole, and every key can be made and read."""
    for e in upkeep.stored():
        assert entries.load(e.path) is not None, e
    for key in keys:
        store.write("cubin", key, content(key))
        assert store.read("cubin", key) == content(key)
        place = store.folder("cpu-kernel", [key], lambda p, key=key: build(p, key))
        assert (place / "c").read_bytes() == content(key)["c"]


# ---- killed at any point


def scenario() -> None:
    """Every way in which an entry comes and goes. The entries of the first three keys are damaged on the way."""
    first, second, third, fourth, fifth = KEYS[:5]
    for _ in range(2):
        store.write("cubin", fourth, content(fourth), replace=True)
    store.folder("cpu-kernel", [fifth], lambda p: build(p, fifth))
    store.write("cubin", first, content(first))
    store.write("cubin", second, content(second))
    store.write("cubin", second, content(second), replace=True)
    (entries.place_of("cubin", first) / "b").write_bytes(b"damage")
    assert store.read("cubin", first) is None
    (entries.place_of("cubin", second) / "a").write_bytes(b"damage")
    store.write("cubin", second, content(second))
    place = store.folder("cpu-kernel", [third], lambda p: build(p, third))
    (place / "c").write_bytes(b"damage")
    store.folder.__globals__["_seen_whole"].cache_clear()
    store.folder("cpu-kernel", [third], lambda p: build(p, third))
    upkeep.trim(1)
    upkeep.clear()


EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.utime", "os.scandir"}


def killed_at(number: int) -> bool:
    """Run the scenario in a process that is killed at its `number`th touch of the disk; False if it came to the end."""
    child = os.fork()
    if child == 0:
        left = [number]

        def count(event: str, _: object) -> None:
            if event in EVENTS:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            scenario()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def require_survival(step: int) -> None:
    """At every `step`th touch: what nobody damaged is whole, what is read is right, and all can be made again."""
    number = 1
    while killed_at(number):
        damaged = {e.key for e in upkeep.stored() if entries.load(e.path) is None}
        assert damaged <= {*KEYS[:2], entries.key_of(KEYS[2])}, f"half an entry after touch {number}"
        for key in KEYS[:2]:
            assert store.read("cubin", key) in (None, content(key))
        upkeep.verify()
        store.folder.__globals__["_seen_whole"].cache_clear()
        require_right(KEYS[:5])
        upkeep.clear()
        for litter in entries.cache_directory().glob("*/.new-*"):
            os.utime(litter, (0, 0))
        upkeep.sweep()
        assert [p for p in entries.cache_directory().rglob("*") if p.is_file() and p.suffix != ".lock"] == []
        number += step
    assert number > 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_touches_of_the_disk(step: int) -> None:
    """At every one of them, or by default at some."""
    require_survival(step)


def _make_in_place(place: Path, fill: Callable[[Path], None], about: str) -> int:
    """As `entries.make`, but an entry is written where it stays."""
    real = entries.make
    there = place.with_name("beside")
    try:
        size = real(there, fill, about)
        place.mkdir()
        for file in there.iterdir():
            (place / file.name).write_bytes(file.read_bytes())
    finally:
        entries.drop(there)
    manifest = place / entries.MANIFEST
    manifest.write_text(manifest.read_text().replace('"beside"', f'"{place.name}"'))
    return size


def _drop_in_place(place: Path) -> None:
    """As `entries.drop`, but file by file."""
    for file in place.iterdir() if place.exists() else ():
        file.unlink()
    if place.exists():
        place.rmdir()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("bug", [("make", _make_in_place), ("drop", _drop_in_place)], ids=lambda bug: bug[0])
def test_what_is_not_done_by_one_rename_is_noticed(bug: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, *bug)
    with pytest.raises(AssertionError, match="half an entry after touch"):
        require_survival(3)


# ---- many at once, some of them killed


def started(number: int, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, str(HAMMER), str(number), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def hammered(processes: int, seconds: float, every: float) -> tuple[Counter[str], int]:
    """So many processes at once; each `every` seconds one is killed and another started. What they did, and kills."""
    rng, end, number = random.Random(1), time.monotonic() + seconds, processes
    running = [started(i, seconds) for i in range(processes)]
    done: Counter[str] = Counter()
    kills = 0

    def collected(over: Callable[[subprocess.Popen[str]], bool]) -> Iterator[subprocess.Popen[str]]:
        for p in running:
            if not over(p):
                yield p
                continue
            out, wrong = p.communicate(timeout=60)
            assert p.returncode in (0, -signal.SIGKILL), wrong
            done.update(ast.literal_eval(out or "{}"))

    while (left := end - time.monotonic()) > 0:
        time.sleep(every)
        victims = [p for p in rng.sample(running, processes // 4) if p.poll() is None]
        for p in victims:
            p.kill()
        kills += len(victims)
        running = [*collected(lambda p, gone=victims: p in gone)]
        running += [started(number + i, max(0.5, left)) for i in range(len(victims))]
        number += len(victims)
    running = list(collected(lambda p: True))
    return done, kills


def require_variety(done: Counter[str]) -> None:
    for what in ("hit", "miss", "write", "replace", "folder", "evict"):
        assert done[what], done


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_many_processes_some_killed() -> None:
    done, kills = hammered(8, 4.0, 0.15)
    assert kills >= 5
    require_variety(done)
    upkeep.verify()  # what was damaged on purpose
    require_right()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_64_processes_many_killed() -> None:
    done, kills = hammered(64, 60.0, 0.1)
    assert kills >= 50
    require_variety(done)
    upkeep.verify()
    require_right()
