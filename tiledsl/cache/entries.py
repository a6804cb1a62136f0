"""One entry on disk: a directory named by the hash of everything that its content was made from.

It appears by one rename and goes by one rename, so a process that is killed anywhere leaves whole entries, and litter
with a dot in front, which `upkeep` sweeps. Its manifest has the hash of every file. Locks only keep processes from
doing the same work twice: nothing depends on them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from tiledsl.settings import setting

MANIFEST = "entry.json"
NEW, OLD = ".new-", ".old-"  # being made, being removed
_LOCKS = "locks"
_LOCK_DIGITS = 3  # locks are shared by keys that begin alike, so that there are not more and more of them
_LOCK_SECONDS = 600.0  # who waits longer does the work too


@dataclass(frozen=True, slots=True)
class Kind:
    """`held`: seconds after its last use in which an entry is not evicted, because its files are opened by name.

    `compiled`: TILEDSL_ALWAYS_COMPILE makes it anew.
    """

    name: str
    what: str
    held: float = 0.0
    compiled: bool = False


KINDS: dict[str, Kind] = {
    k.name: k
    for k in (
        Kind("cubin", "cubins and PTX that NVRTC made", compiled=True),
        Kind("cpu-runtime", "the runtime of the CPU device", held=3600.0),
        Kind("cpu-kernel", "kernels compiled for the CPU device", held=3600.0),
        Kind("tuning", "the best configurations of kernels"),
        Kind("measured", "times of single configurations"),
    )
}


def cache_directory() -> Path:
    """$TILEDSL_CACHE_DIR, or the user's cache directory of the platform."""
    named = setting("TILEDSL_CACHE_DIR")
    return Path(named) if named else user_cache_path("tiledsl", appauthor=False)


def key_of(*parts: str) -> str:
    """A name for exactly these texts."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def place_of(kind: str, key: str) -> Path:
    return cache_directory() / KINDS[kind].name / key


def load(place: Path) -> dict[str, bytes] | None:
    """The files of an entry, or None if it is absent, incomplete or damaged."""
    try:
        about = json.loads((place / MANIFEST).read_bytes())
        files = {name: (place / name).read_bytes() for name in about["files"]}
        whole = about["key"] == place.name and all(
            hashlib.sha256(data).hexdigest() == about["files"][name] for name, data in files.items()
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return files if whole else None


def make(place: Path, fill: Callable[[Path], None], about: str) -> int:
    """Fill a directory beside the place of the entry and rename it into place; returns its bytes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=place.parent, prefix=NEW))
    try:
        fill(staging)
        found = {p.name: p.read_bytes() for p in sorted(staging.iterdir())}
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
        manifest = {"key": place.name, "about": about, "made": time.time(), "files": sums}
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=1))
        _publish(staging, place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return sum(map(len, found.values()))


def _publish(staging: Path, place: Path) -> None:
    """An entry that is there stays if it is whole, and is replaced if it is damaged."""
    try:
        os.replace(staging, place)
    except OSError:
        if load(place) is None:
            drop(place)
            os.replace(staging, place)


def drop(place: Path) -> None:
    """Remove an entry: at one moment it is there as it was, at the next it is not."""
    away = place.parent / f"{OLD}{os.urandom(8).hex()}"
    try:
        os.rename(place, away)
    except OSError:  # it is gone
        return
    shutil.rmtree(away, ignore_errors=True)


def touch(place: Path) -> None:
    """Note the use: the directory's time of change is when the entry was used last."""
    with suppress(OSError):
        os.utime(place)


@contextmanager
def locked(key: str) -> Iterator[None]:
    """While one process works on what has that key, others wait; the lock of a killed process is free.

    Where the file system has no locks, they do the same work at the same time, which is slower and as right.
    """
    from filelock import FileLock, Timeout  # 10 ms, and needed only where something is made

    try:
        home = cache_directory() / _LOCKS
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / f"{key[:_LOCK_DIGITS]}.lock", timeout=_LOCK_SECONDS)
        lock.acquire()
    except (OSError, NotImplementedError, Timeout):
        yield
        return
    try:
        yield
    finally:
        lock.release()
