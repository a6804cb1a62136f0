"""What processes keep for each other: entries that are read into memory, and entries whose files are opened by name.

What is damaged is dropped when it is read, and made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from tiledsl.cache.entries import KINDS, MANIFEST, cache_directory, drop, key_of, load, locked, make, place_of, touch
from tiledsl.cache.upkeep import grown
from tiledsl.errors import error
from tiledsl.settings import flag

__all__ = ["cache_directory", "folder", "key_of", "locked", "read", "write"]


def read(kind: str, key: str) -> dict[str, bytes] | None:
    """The files of an entry, or None if it is absent. A damaged one is dropped."""
    if flag("TILEDSL_NO_CACHE") or (KINDS[kind].compiled and flag("TILEDSL_ALWAYS_COMPILE")):
        return None
    place = place_of(kind, key)
    files = load(place)
    if files is None and place.exists():
        files = load(place)  # another process may have replaced it between two files
        if files is None:
            drop(place)
    if files is not None:
        touch(place)
    return files


def write(kind: str, key: str, files: Mapping[str, bytes], about: str = "", *, replace: bool = False) -> None:
    """Store an entry; one that is there and whole stays, but for `replace`. A full or read-only disk is no error.

    `about` says in words what it is, for `tiledsl cache log`.
    """
    if flag("TILEDSL_NO_CACHE"):
        return

    def fill(folder: Path) -> None:
        for name, data in files.items():
            (folder / name).write_bytes(data)

    with suppress(OSError):
        if replace:
            drop(place_of(kind, key))
        grown(make(place_of(kind, key), fill, about))


def folder(kind: str, parts: Sequence[str], build: Callable[[Path], None], about: str = "") -> Path:
    """The directory of the entry for `parts`; `build` fills it where there is none, or a damaged one.

    Raises TileError TD0913 where no entry can be written, and whatever `build` raises.
    """
    key = key_of(*parts)
    place = place_of(kind, key)
    if _is_whole(place):
        touch(place)
        return place
    with locked(key):
        if not _is_whole(place):
            drop(place)
            try:
                grown(make(place, build, about))
            except OSError as problem:
                raise error("TD0913", path=place.parent, problem=problem.strerror) from None
    return place


def _is_whole(place: Path) -> bool:
    """Whether the files are those of the manifest; asked once a process for what does not change."""
    try:
        stamp = (place / MANIFEST).stat()
    except OSError:
        return False
    return _seen_whole(str(place), stamp.st_ino, stamp.st_mtime_ns)


@lru_cache(maxsize=4096)
def _seen_whole(place: str, inode: int, changed: int) -> bool:
    return load(Path(place)) is not None
