"""What is in the cache, and keeping it within its size: the entries that were not used for longest go first."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tiledsl.cache.entries import KINDS, MANIFEST, NEW, OLD, cache_directory, drop, load
from tiledsl.errors import error
from tiledsl.settings import setting

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", re.IGNORECASE)
_PARTS = 64  # of the limit: about how much is written between two looks at everything
_LOW = 0.9  # of the limit: what is left when entries are evicted
_LITTER_SECONDS = 3600.0  # what is still being made after that belongs to a process that was killed


@dataclass(frozen=True, slots=True)
class Stored:
    """One entry. `used` is when, in seconds since 1970, it was used last; a damaged entry has no `made`."""

    kind: str
    key: str
    path: Path
    bytes: int
    used: float
    about: str = ""
    made: float = 0.0


def limit() -> int:
    """Bytes that the cache may have, 0 for any number. Raises TileError TD0920 for a setting that is no size."""
    given = setting("TILEDSL_CACHE_SIZE")
    found = _SIZE.fullmatch(given)
    if found is None:
        raise error("TD0920", given=given)
    return int(float(found[1]) * _UNITS[found[2].lower()])


def stored(kind: str | None = None) -> Iterator[Stored]:
    """Every entry, of one kind or of all, whole or not."""
    for name in [kind] if kind else KINDS:
        for place in _directories(cache_directory() / name):
            if not place.name.startswith("."):
                with suppress(OSError):  # evicted meanwhile
                    yield _stored(name, place)


def _directories(home: Path) -> list[Path]:
    try:
        return sorted(Path(e.path) for e in os.scandir(home) if e.is_dir())
    except OSError:
        return []


def _stored(kind: str, place: Path) -> Stored:
    return Stored(kind, place.name, place, _bytes(place), place.stat().st_mtime)


def _bytes(place: Path) -> int:
    return sum(e.stat().st_size for e in os.scandir(place))


def described(entry: Stored) -> Stored:
    """The entry with what its manifest says."""
    try:
        said = json.loads((entry.path / MANIFEST).read_bytes())
        about, made = str(said["about"]), float(said["made"])
    except (OSError, ValueError, TypeError, KeyError):
        about, made = "damaged", 0.0
    return Stored(entry.kind, entry.key, entry.path, entry.bytes, entry.used, about, made)


# ---- removing


def grown(size: int) -> None:
    """So many bytes were added: now and then, look whether it is too much.

    By chance instead of a count: so all processes together look about once for each 64th of the limit that they write,
    and share nothing.
    """
    allowed = limit()
    if allowed and random.random() * allowed < size * _PARTS:
        trim(allowed)


def trim(allowed: int) -> int:
    """Evict what was not used for longest until 90 % of `allowed` are left, if it is more; returns the bytes evicted.

    One process does it at a time. What is held for its file names stays.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(cache_directory() / "trim.lock", timeout=0):
            return _trim(allowed)
    except (OSError, NotImplementedError, Timeout):
        return 0


def _trim(allowed: int) -> int:
    sweep()
    entries = sorted(stored(), key=lambda e: e.used)
    total, freed, now = sum(e.bytes for e in entries), 0, time.time()
    if total <= allowed:
        return 0
    for e in entries:
        if total - freed <= allowed * _LOW:
            break
        if now - e.used >= KINDS[e.kind].held:
            drop(e.path)
            freed += e.bytes
    return freed


def sweep() -> None:
    """Remove what killed processes left: entries half made, if for long, and entries half removed."""
    now = time.time()
    for kind in KINDS:
        for place in _directories(cache_directory() / kind):
            with suppress(OSError):
                abandoned = place.name.startswith(NEW) and now - place.stat().st_mtime > _LITTER_SECONDS
                if abandoned or place.name.startswith(OLD):
                    shutil.rmtree(place, ignore_errors=True)


def clear(kind: str | None = None, older: float = 0.0) -> list[Stored]:
    """Remove the entries that were not used for `older` seconds; returns them."""
    now = time.time()
    gone = [e for e in stored(kind) if now - e.used >= older]
    for e in gone:
        drop(e.path)
    sweep()
    return gone


def verify(kind: str | None = None) -> tuple[int, list[Stored]]:
    """Read every entry, and drop those whose files are not what their manifest says: how many are whole, the others."""
    whole, damaged = 0, []
    for e in stored(kind):
        if load(e.path) is not None:
            whole += 1
        elif e.path.exists():
            damaged.append(e)
            drop(e.path)
    return whole, damaged
