"""tiledsl: GPU kernels in Python over tiles, checked on the CPU, compiled to CUDA C++.

`import tiledsl` loads next to nothing; each public name is loaded when it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiledsl import language, testing
    from tiledsl.errors import TileError, VerifyError
    from tiledsl.kernel import CompiledKernel, TileKernel, kernel

__version__ = "0.1.0"
__all__ = ["CompiledKernel", "TileError", "TileKernel", "VerifyError", "kernel", "language", "testing"]

_HOMES = {
    "CompiledKernel": "tiledsl.kernel",
    "TileKernel": "tiledsl.kernel",
    "TileError": "tiledsl.errors",
    "VerifyError": "tiledsl.errors",
    "kernel": "tiledsl.kernel",
}
_MODULES = ("language", "testing")


class _Package(ModuleType):
    """Keeps `tiledsl.kernel` the decorator: importing the module of that name would put the module in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "kernel" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"tiledsl.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'tiledsl' has no attribute '{name}'")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Package
