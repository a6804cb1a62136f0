"""tiledsl: GPU kernels in Python over tiles, checked on the CPU, compiled to CUDA C++.

`import tiledsl` loads next to nothing; each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know the name; `typing` alone would cost more than the rest of this import
if TYPE_CHECKING:
    from typing import Any

    from tiledsl import language, testing
    from tiledsl.backends import where
    from tiledsl.decorator import CompiledKernel, TileKernel, kernel
    from tiledsl.errors import TileError, VerifyError
    from tiledsl.profiling import do_bench
    from tiledsl.tuning import autotune

__version__ = "0.1.0"
__all__ = [
    "CompiledKernel",
    "TileError",
    "TileKernel",
    "VerifyError",
    "autotune",
    "do_bench",
    "kernel",
    "language",
    "testing",
    "where",
]

_HOMES = {
    "CompiledKernel": "tiledsl.decorator",
    "TileKernel": "tiledsl.decorator",
    "TileError": "tiledsl.errors",
    "VerifyError": "tiledsl.errors",
    "autotune": "tiledsl.tuning",
    "do_bench": "tiledsl.profiling",
    "kernel": "tiledsl.decorator",
    "where": "tiledsl.backends",
}
_MODULES = ("language", "testing")


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
