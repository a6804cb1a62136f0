"""Compiled kernels on disk: one directory an entry, named by the hash of everything the compiler was given.

An entry appears by one rename, so that readers see all of it or nothing, and no lock is needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_cache_path

from tiledsl.settings import flag, setting


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


def read(kind: str, key: str) -> dict[str, bytes] | None:
    """The files of an entry, or None if it is absent, incomplete or damaged."""
    if flag("TILEDSL_NO_CACHE") or flag("TILEDSL_ALWAYS_COMPILE"):
        return None
    return _load(cache_directory() / kind / key)


def _load(folder: Path) -> dict[str, bytes] | None:
    try:
        sums: dict[str, str] = json.loads((folder / "sha256.json").read_text())
        files = {name: (folder / name).read_bytes() for name in sums}
    except (OSError, ValueError):
        return None
    return files if all(hashlib.sha256(files[n]).hexdigest() == s for n, s in sums.items()) else None


def write(kind: str, key: str, files: Mapping[str, bytes]) -> None:
    """Store an entry; if another process stored it first, theirs stays. A full or read-only disk is no error."""
    if flag("TILEDSL_NO_CACHE"):
        return
    home = cache_directory() / kind
    try:
        home.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=home, prefix=".new-"))
    except OSError:
        return
    try:
        for name, data in files.items():
            (staging / name).write_bytes(data)
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        (staging / "sha256.json").write_text(json.dumps(sums, sort_keys=True))
        _publish(staging, home / key)
    except OSError:
        return
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish(staging: Path, entry: Path) -> None:
    """Rename into place. An entry that is there stays if it is whole, and is replaced if it is damaged."""
    try:
        os.replace(staging, entry)
    except OSError:
        if _load(entry) is None:
            shutil.rmtree(entry, ignore_errors=True)
            os.replace(staging, entry)
