"""`tiledsl env`: every setting with its value, and the versions of what is installed."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from importlib import metadata

from tiledsl.backends import where
from tiledsl.cpu.toolchain import find_compiler, identity
from tiledsl.errors import TileError
from tiledsl.runtime import nvrtc
from tiledsl.runtime.driver import find_driver
from tiledsl.settings import SETTINGS

_PACKAGES = (
    "tiledsl",
    "numpy",
    "ml_dtypes",
    "lark",
    "cuda-python",
    "nvidia-cuda-nvrtc",
    "nvidia-cuda-nvdisasm",
    "torch",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> None:
    print(f"{'python':<20} {sys.version.split()[0]} on {platform.system()} {platform.machine()}")
    for name in _PACKAGES:
        print(f"{name:<20} {_version(name)}")
    print(f"{'NVRTC':<20} {_or_problem(nvrtc.version)}")
    print(f"{'C++ compiler':<20} {_or_problem(_compiler)}")
    print(f"{'GPU':<20} {_or_problem(_gpu)}")
    print(f"{'kernels run on':<20} {_or_problem(where)}\n")
    width = max(map(len, SETTINGS))
    for s in SETTINGS.values():
        value = os.environ.get(s.name)
        shown = f"{value} (default: {s.default or 'empty'})" if value else s.default or "empty"
        print(f"{s.name:<{width}}  {shown}\n{'':<{width}}  {s.meaning}")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _or_problem(find: Callable[[], str]) -> str:
    try:
        return find()
    except TileError as problem:
        return problem.message


def _compiler() -> str:
    found = find_compiler()
    if found is None:
        return "none: kernels run in NumPy"
    return f"{' '.join(found)}: {(identity(found).splitlines() + ['', ''])[len(found)]}"


def _gpu() -> str:
    driver = find_driver()
    return driver.architecture(0) if driver else "none"
