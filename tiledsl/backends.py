"""Where a compiled kernel runs: on the GPU, or one of three ways on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from math import prod
from typing import Any

import numpy as np

from tiledsl.compile import Lowered
from tiledsl.cpu import device, foreign, interp, tile_interp, toolchain
from tiledsl.errors import error
from tiledsl.runtime.arguments import Bound, as_array, bind, numpy_dtype
from tiledsl.runtime.driver import find_driver
from tiledsl.runtime.maps import map_of
from tiledsl.runtime.program import check_grid, stream_handle
from tiledsl.runtime.signature import ScalarParameter, evaluate
from tiledsl.settings import flag, logger, setting


class Backend(Enum):
    """`CPU` runs the emitted C++ on the CPU device, `SIMT` the lowest IR and `TILE` the tile stage in NumPy."""

    CUDA = "cuda"
    CPU = "cpu"
    SIMT = "simt"
    TILE = "tile"


def run(
    lowered: Lowered,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    stream: Any = None,
    backend: str | Backend | None = None,
) -> Any:
    """Bind the arguments, run, and return the results the host allocated: None, one, or a tuple."""
    bound = bind(lowered.signature, args, kwargs)
    chosen = choose(bound, backend)
    if lowered.edited:
        require_text(chosen)
    stream_handle(stream)  # a wrong one is wrong on every backend
    if chosen is Backend.CUDA:
        driver = find_driver()
        assert driver is not None
        lowered.program.launch(driver, bound, stream)
    else:
        _say_once(chosen)
        if bound.device != "cpu":
            raise error("TD0618", name=chosen.value, device=bound.device)
        how = {"check": True} if chosen is Backend.CPU and flag("TILEDSL_RACE") else {}
        run_on_cpu(lowered, bound, chosen, **how)
    results = tuple(bound.tensors[name].owner for name in bound.results)
    return None if not results else results[0] if len(results) == 1 else results


def choose(bound: Bound | None, named: str | Backend | None) -> Backend:
    """The named backend, else TILEDSL_BACKEND, else the GPU if there is one, else the CPU device, else NumPy."""
    name = named.value if isinstance(named, Backend) else named or setting("TILEDSL_BACKEND")
    if name:
        if name not in {b.value for b in Backend}:
            raise error("TD0617", name=name, known=", ".join(b.value for b in Backend))
        if name == "cuda" and find_driver() is None:
            raise error("TD0619")
        return Backend(name)
    if find_driver() is not None:
        return Backend.CUDA
    if bound is not None and bound.device != "cpu":
        raise error("TD0619")
    return Backend.CPU if toolchain.find_compiler() is not None else Backend.SIMT


def require_text(backend: Backend) -> None:
    """Raises TileError TD0633 for a backend that executes IR, where the kernel is edited text."""
    if backend in (Backend.SIMT, Backend.TILE):
        raise error("TD0633", name=backend.value)


def describe(backend: Backend) -> str:
    """Where that is and what runs there, in words."""
    match backend:
        case Backend.CUDA:
            return "the GPU"
        case Backend.CPU:
            return f"the CPU: emitted C++ on the CPU device ({toolchain.compiler_name() or 'no C++ compiler'})"
        case Backend.SIMT:
            missing = "" if toolchain.find_compiler() else " (no C++ compiler was found)"
            return f"the CPU: thread-stage IR in NumPy{missing}"
        case Backend.TILE:
            return "the CPU: tile-stage IR in NumPy"


@cache
def _say_once(backend: Backend) -> None:
    logger().warning("no GPU in use: running on %s", describe(backend))


def where() -> str:
    """Where a call with NumPy arrays runs on this machine, in words."""
    return describe(choose(None, None))


def run_on_cpu(lowered: Lowered, bound: Bound, backend: Backend, **how: Any) -> None:
    """Run on host memory, in place. `how` goes to the execution (mode, seed, check)."""
    arrays = {name: as_array(t) for name, t in bound.tensors.items()}
    arguments: dict[str, Any] = {**arrays, **bound.scalars, **bound.sizes}
    if backend is Backend.TILE:
        tile_interp.run(lowered.stages[0].kernel, arguments, **how)
    elif backend is Backend.SIMT:
        interp.run(lowered.final, arguments, **how)
    else:
        _run_device(lowered, bound, arrays, **how)


def _run_device(lowered: Lowered, bound: Bound, arrays: Mapping[str, np.ndarray[Any, Any]], **how: Any) -> None:
    signature = lowered.signature
    checked = bool(how.pop("check", False))
    own = [e.name for e in signature.entries if not e.users]
    module = device.compile_source(lowered.source.text, own, checked=checked) if own else None
    references = {r.name: r.function for r in lowered.final.references}
    numbers = bound.numbers()
    dtypes = {p.name: p.dtype for p in (*signature.parameters, *signature.sizes) if isinstance(p, ScalarParameter)}
    values: dict[str, Any] = dict(arrays)
    for p in signature.scratch:
        shape = tuple(evaluate(e, numbers) for e in p.shape)
        values[p.name] = np.zeros(shape, numpy_dtype(p.dtype))
    for name, dtype in dtypes.items():
        value = bound.sizes[name] if name in bound.sizes else bound.scalars[name]
        values[name] = np.array(value, numpy_dtype("int64" if dtype == "index" else dtype))[()]
    for e in signature.entries:
        grid = tuple(evaluate(x, numbers) for x in e.grid)
        check_grid(e.name, grid, e.cluster)
        if not prod(grid):
            continue
        if e.users:
            foreign.launch_whole(e.name, references.get(e.name), [values[n] for n in e.arguments], "TD0822")
        elif module is not None:
            maps = [device.Mapped(map_of(m, numbers), values[m.tensor]) for m in e.maps]
            arguments = [*maps, *(values[n] for n in e.arguments)]
            together: dict[str, Any] = {"shared": e.shared, "cluster": e.cluster or (1,)}
            module.launch(e.name, grid, e.threads, e.shared_bytes, arguments, **together, **how)
