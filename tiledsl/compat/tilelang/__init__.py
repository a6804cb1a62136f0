"""TileLang's programs, run by tiledsl: `import tiledsl.compat.tilelang as tilelang`.

    import tiledsl.compat.tilelang.language as T
    from tiledsl.compat.tilelang.intrinsics import TensorCoreIntrinEmitter

docs/coming_from_tilelang.md says what differs.
"""

from __future__ import annotations

import os
from typing import Any

from tiledsl import __version__
from tiledsl.compat.tilelang import autotuner, intrinsics, language, layout, profiler, testing, tools, transform, utils
from tiledsl.compat.tilelang.autotuner import AutoTuner, autotune
from tiledsl.compat.tilelang.errors import refused
from tiledsl.compat.tilelang.jit import compile, jit, par_compile
from tiledsl.compat.tilelang.kernel import JITKernel
from tiledsl.compat.tilelang.language import dtype as DataType
from tiledsl.compat.tilelang.layout import Fragment, Layout
from tiledsl.compat.tilelang.pass_config import PassConfigKey
from tiledsl.compat.tilelang.profiler import Profiler, do_bench
from tiledsl.compat.tilelang.supply import TensorSupplyType
from tiledsl.settings import flag, logger

__all__ = [
    "AutoTuner",
    "DataType",
    "Fragment",
    "JITKernel",
    "Layout",
    "PassConfigKey",
    "Profiler",
    "TensorSupplyType",
    "__version__",
    "autotune",
    "autotuner",
    "cdiv",
    "compile",
    "disable_cache",
    "do_bench",
    "enable_cache",
    "intrinsics",
    "is_cache_enabled",
    "jit",
    "language",
    "layout",
    "next_power_of_2",
    "par_compile",
    "profiler",
    "set_log_level",
    "testing",
    "tools",
    "transform",
    "utils",
]


def cdiv(a: int, b: int) -> int:
    """The quotient of Python integers rounded up."""
    return -(-a // b)


def next_power_of_2(n: int) -> int:
    """The least power of two that is not below `n`."""
    return 1 << max(0, n - 1).bit_length()


def enable_cache() -> None:
    """Compiled kernels are kept on disk, as they are by default."""
    os.environ["TILEDSL_NO_CACHE"] = "0"


def disable_cache() -> None:
    """Compiled kernels are neither read from disk nor kept there."""
    os.environ["TILEDSL_NO_CACHE"] = "1"


def is_cache_enabled() -> bool:
    """Whether compiled kernels are kept on disk."""
    return not flag("TILEDSL_NO_CACHE")


def set_log_level(level: str | int) -> None:
    """The level of the logger "tiledsl": "INFO", "WARNING", "ERROR"; quieter ones are those of errors."""
    name = level.lower() if isinstance(level, str) else "info" if level <= 20 else "warning" if level <= 30 else "error"
    os.environ["TILEDSL_LOG"] = {"debug": "info", "critical": "error"}.get(name, name)
    logger()


def __getattr__(name: str) -> Any:
    """Raises for what is not there: an error that is also an AttributeError, so that `hasattr` works."""
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(name)
    raise language_error(name)


class UnknownName(AttributeError):
    """A name of TileLang's that this room does not have."""


def language_error(name: str) -> UnknownName:
    """The error for `tilelang.<name>`."""
    made = refused("TD0641", what="a name of tilelang", given=repr(name), known=", ".join(__all__))
    return UnknownName(str(made))
