"""Every environment variable, one row each. A decorator argument beats its variable."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from tiledsl.errors import error


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    default: str
    meaning: str


SETTINGS: dict[str, Setting] = {
    s.name: s
    for s in (
        Setting("TILEDSL_TARGET", "", "GPU to compile for, e.g. sm_90a; empty: the GPU at hand, else sm_80"),
        Setting("TILEDSL_BACKEND", "", "cuda, cpu (emitted C++), simt or tile (NumPy); empty: the best one at hand"),
        Setting("TILEDSL_CACHE_DIR", "", "directory of compiled kernels; empty: the user's cache directory"),
        Setting("TILEDSL_CACHE_SIZE", "2 GB", "what the cache may have, e.g. 500 MB; 0: any size"),
        Setting("TILEDSL_NO_CACHE", "0", "1: neither read nor write compiled kernels"),
        Setting("TILEDSL_ALWAYS_COMPILE", "0", "1: compile even what is in the cache"),
        Setting("TILEDSL_DUMP", "", "all, or pass names with commas: write the IR after these passes"),
        Setting("TILEDSL_DUMP_DIR", "tiledsl-dump", "directory of the dumps, one numbered file a pass"),
        Setting("TILEDSL_TIMING", "0", "1: print how long each pass took"),
        Setting("TILEDSL_VERIFY", "0", "1: check every plan with its independent verifier"),
        Setting("TILEDSL_RACE", "0", "1: every call on the CPU device runs checked: races, bounds and deadlocks raise"),
        Setting("TILEDSL_VALIDATE", "0", "1: run the kernel before and after every pass; they must agree bit for bit"),
        Setting("TILEDSL_REPRO", "tiledsl-repro", "directory of repro bundles, one directory a failure"),
        Setting("TILEDSL_CXX", "", "host C++ compiler for the CPU device; empty: c++, g++, clang++, zig"),
        Setting("TILEDSL_TUNE", "on", "off: take the first configuration that compiles, search for none"),
        Setting("TILEDSL_LOG", "warning", "level of the log: info, warning, error"),
    )
}


def setting(name: str) -> str:
    """The value of a variable of the table, or its default."""
    return os.environ.get(name) or SETTINGS[name].default


def flag(name: str) -> bool:
    """Whether a 0/1 variable is set to anything but 0."""
    return setting(name) != "0"


@contextmanager
def overridden(name: str, value: str) -> Iterator[None]:
    """A variable of the table has this value in this process, and afterwards the one that it had."""
    before = os.environ.get(SETTINGS[name].name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


_LEVELS = ("info", "warning", "error")


@cache
def logger() -> logging.Logger:
    """Python's logger "tiledsl", at the level of TILEDSL_LOG. Raises TileError TD0904 for a level that is none."""
    log, level = logging.getLogger("tiledsl"), setting("TILEDSL_LOG")
    if level not in _LEVELS:
        raise error("TD0904", level=level, known=", ".join(_LEVELS))
    log.setLevel(level.upper())
    if level == "info" and not log.hasHandlers():  # without a handler Python shows warnings only
        log.addHandler(logging.StreamHandler())
    return log
