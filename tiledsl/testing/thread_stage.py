"""Thread-stage kernels by hand: shared memory laid out, emitted, run on the CPU device, compiled by NVRTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tiledsl.codegen.cuda import cuda_text, emit
from tiledsl.codegen.source import Source
from tiledsl.compile import Lowered, Stage
from tiledsl.cpu.device import compile_source
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import INT32, DType
from tiledsl.ir.nodes import (
    Alloc,
    Block,
    Buffer,
    Const,
    Expr,
    Kernel,
    Launch,
    SharedSlot,
    Space,
    Var,
    static_shape,
)
from tiledsl.ir.walk import walk
from tiledsl.runtime import nvrtc
from tiledsl.target import target_named


def i32(value: int) -> Const:
    return Const(value, INT32)


def one_launch(
    params: Sequence[Buffer | Var],
    body: Block,
    thread: Var,
    threads: int = 32,
    grid: Sequence[Expr] = (),
    blocks: Sequence[Var] = (),
) -> Kernel:
    """A kernel of one launch, its shared buffers one after the other at multiples of 128 bytes."""
    launch = Launch("k", tuple(grid) or (i32(1),), tuple(blocks) or (Var("bx", INT32),), (threads,), thread, body)
    return placed(Kernel("k", tuple(params), (launch,)))


def placed(kernel: Kernel) -> Kernel:
    """`kernel` with its shared buffers one after the other, as a planner without ideas would place them."""
    launches = []
    for launch in kernel.launches:
        slots, offset = [], 0
        for s in walk(launch):
            if isinstance(s, Alloc) and s.buffer.space is Space.SHARED:
                slots.append(SharedSlot(s.buffer, offset))
                size = int(np.prod(static_shape(s.buffer))) * s.buffer.versions * s.buffer.dtype.bits // 8
                offset += -(-size // 128) * 128
        launches.append(replace(launch, shared=tuple(slots), shared_bytes=offset))
    return replace(kernel, launches=tuple(launches))


def lowered(kernel: Kernel, target: str = "sm_90a") -> Lowered:
    """A kernel of the thread stage, as if passes had made it of another: it runs wherever such a one does."""
    return Lowered(target_named(target), (Stage("trace", kernel, 0.0),), emit(kernel), 0.0)


def run_on_device(kernel: Kernel, arguments: Mapping[str, Any], *, checked: bool = True, **how: Any) -> Source:
    """Emit and run all launches on arrays in place; grids are constants. Returns the source."""
    source = emit(kernel)
    module = compile_source(source.text, [e.name for e in source.entries], checked=checked)
    for e in source.entries:
        grid = [int(x.value) for x in kernel.launches[e.launch].grid if isinstance(x, Const)]
        module.launch(e.name, grid, e.threads, e.shared_bytes, [arguments[n] for n in e.params], **how)
    return source


def compile_for(source: Source, arch: str) -> nvrtc.Compiled:
    return nvrtc.compile_cuda(cuda_text(source), arch)


def random_values(rng: np.random.Generator, dtype: DType, shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """Values of every size: random bits for integers, wide magnitudes and the special values for floats."""
    holder = numpy_dtype(dtype)
    if dtype.is_float:
        x = rng.standard_normal(shape) * np.exp2(rng.integers(-12, 12, shape))
        flat = x.reshape(-1)
        flat[: min(8, flat.size)] = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.5, 448.0][: flat.size]
        return x.astype(holder)
    if dtype.name == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    low, high = dtype.int_range
    x = rng.integers(low, high, shape, dtype=holder, endpoint=True)
    small = rng.integers(max(low, -9), 10, shape).astype(holder)
    return np.where(rng.random(shape) < 0.5, small, x)
