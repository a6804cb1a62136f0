"""What is done in other processes: functions of data that travels, each a name that those processes can import."""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tiledsl.backends import Backend
from tiledsl.checking.execute import run_once
from tiledsl.compile import Lowered
from tiledsl.errors import TileError
from tiledsl.profiling import Plan, Profile, profile
from tiledsl.runtime.nvrtc import Compiled, compile_cuda

Array = np.ndarray[Any, Any]


def compiled(text: str, arch: str, flags: tuple[str, ...]) -> Compiled | TileError:
    """What NVRTC makes of a text, or why it does not. For any executor."""
    try:
        return compile_cuda(text, arch, flags)
    except TileError as problem:
        return problem


@lru_cache(maxsize=1)
def _inputs(path: str) -> dict[str, Any]:
    found: dict[str, Any] = pickle.loads(Path(path).read_bytes())
    return found


def outputs(lowered: Lowered, inputs: str, backend: str, names: tuple[str, ...]) -> dict[str, Array]:
    """What the tensors `names` hold after a run on the inputs of that file."""
    done = run_once(lowered, _inputs(inputs), Backend(backend))
    return {n: np.ascontiguousarray(done[n]) for n in names}


def gpu_time(lowered: Lowered, inputs: str, plan: Plan) -> Profile:
    return profile(lowered, (), _inputs(inputs), plan, backend="cuda", flops=0.0, bytes=0.0)
