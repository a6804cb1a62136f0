"""One of many processes that use one cache at once: python hammer.py SEED SECONDS. Prints what it did.

What an entry holds follows from its key, so that every process knows what must come back: that, or nothing.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from pathlib import Path

from tiledsl.cache import store, upkeep

KEYS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(12)]


def content(key: str) -> dict[str, bytes]:
    """Three files, of which one takes several writes."""
    return {"a": key.encode(), "b": (key * 40).encode(), "c": key.encode() * 4000}


def build(place: Path, name: str) -> None:
    for file, data in content(name).items():
        (place / file).write_bytes(data)


def step(rng: random.Random) -> str:
    """One use of the cache; raises AssertionError where what it gives is not what the key stands for."""
    key = rng.choice(KEYS)
    match rng.choice(["read", "read", "write", "folder", "folder", "replace", "trim", "damage", "clear"]):
        case "read":
            found = store.read("cubin", key)
            assert found is None or found == content(key), key
            return "hit" if found else "miss"
        case "write":
            store.write("cubin", key, content(key))
            return "write"
        case "replace":
            store.write("cubin", key, content(key), replace=True)
            return "replace"
        case "folder":
            place = store.folder("cpu-kernel", [key], lambda p: build(p, key))
            assert {p.name: p.read_bytes() for p in place.iterdir() if len(p.name) == 1} == content(key), key
            return "folder"
        case "trim":
            return "evict" if upkeep.trim(800_000) else "trim"
        case "damage":  # as a failing disk would
            place = upkeep.cache_directory() / "cubin" / key / rng.choice("abc")
            if rng.random() < 0.2 and place.exists():
                try:
                    with open(place, "r+b") as file:
                        file.write(b"damage")
                except OSError:  # evicted in the moment between
                    return "trim"
                return "damage"
            return "look"
        case _:
            upkeep.sweep()
            return "sweep"


def main() -> None:
    os.nice(5)  # who kills must get its turn among 64 of us
    rng, end, done = random.Random(int(sys.argv[1])), time.monotonic() + float(sys.argv[2]), {"step": 0}
    while time.monotonic() < end:
        what = step(rng)
        done[what] = done.get(what, 0) + 1
    print(done)


if __name__ == "__main__":
    main()
