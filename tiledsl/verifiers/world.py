"""One block of a kernel at concrete sizes, for the verifiers to execute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiledsl.ir.nodes import Buffer, Expr, Extent, Kernel, Launch, Load, Var
from tiledsl.verifiers.values import Evaluator, Mask, mix

SIZES = (70, 128, 3)  # of dynamic extents and integer parameters: ragged, whole tiles, less than a tile


class GivenUp(Exception):
    """The run is too long, breaks a promise of the user, or holds what tokens cannot model: it says nothing."""


@dataclass(frozen=True)
class World:
    """Values of parameters, sizes and block indices, and the shapes of all tensors of the kernel."""

    values: dict[Var, Any]
    shapes: dict[str, tuple[int, ...]]


class _Plain(Evaluator):
    def load(self, e: Load, on: Mask) -> Any:
        raise TypeError("a size is not loaded")


def tensors(kernel: Kernel) -> dict[Buffer, str]:
    """Names of parameters and scratch buffers that do not depend on how a pass renamed them."""
    params = {p: f"{p.name}#{n}" for n, p in enumerate(kernel.params) if isinstance(p, Buffer)}
    return {**params, **{b: f"{b.name}##{n}" for n, b in enumerate(kernel.scratch)}}


def worlds(kernel: Kernel, launch: Launch, sizes: Sequence[int] = SIZES[:2]) -> Iterator[World]:
    """The last block at several sizes: it meets the edges of tensors, and in causal kernels does the most work."""
    scalars = [p for p in (*kernel.params, *kernel.sizes) if isinstance(p, Var)]
    dynamic = any(not v.dtype.is_float for v in scalars)
    for number, size in enumerate(sizes if dynamic else sizes[:1]):
        values: dict[Var, Any] = {}
        for n, v in enumerate(scalars):
            whole = v.dtype.is_integer
            values[v] = size + n * number if whole else mix(v.name) if v.dtype.is_float else True
        plain = _Plain(values)
        grid = [_size(plain, e) for e in launch.grid]
        if min(grid, default=1) < 1:
            continue
        shapes = {name: tuple(max(0, _size(plain, e)) for e in b.shape) for b, name in tensors(kernel).items()}
        blocks = dict(zip(launch.blocks, (g - 1 for g in grid)))
        yield World({**values, **blocks}, shapes)


def _size(plain: Evaluator, e: Extent) -> int:
    return e if isinstance(e, int) else int(np.max(plain.value(e, True)) if isinstance(e, Expr) else e)
