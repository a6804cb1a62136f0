"""`tiledsl run`: executes IR text of any stage, or a kernel, on made or given inputs, and prints checksums."""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tiledsl import backends
from tiledsl.cpu import interp, tile_interp
from tiledsl.cpu.binding import host_value
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.errors import error
from tiledsl.ir.dtypes import DType, Kind
from tiledsl.ir.nodes import Buffer, Kernel, Var
from tiledsl.tools.loading import (
    add_kernel_arguments,
    assignments,
    chosen_target,
    is_tile_stage,
    lower_text,
    traced,
    write_file,
)

Array = np.ndarray[Any, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    parser.add_argument("--inputs", default="ints", metavar="ints|random|FILE.npz", help="default: small integers")
    parser.add_argument(
        "--size", action="append", default=[], metavar="NAME=VALUE", help="a dynamic size or a scalar parameter"
    )
    parser.add_argument("--backend", choices=("tile", "simt", "cpu"), help="default: tile or simt, as the text needs")
    parser.add_argument("--mode", choices=("early", "late"), default="early", help="when asynchronous copies deliver")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs")
    parser.add_argument("--save", metavar="FILE.npz", help="write all tensors there afterwards")


def run(args: argparse.Namespace) -> None:
    kernel = traced(args)
    backend = args.backend or ("tile" if is_tile_stage(kernel) else "simt")
    given = load_arrays(args.inputs) if args.inputs.endswith(".npz") else {}
    scalars = {**{n: v.item() for n, v in given.items() if v.ndim == 0}, **assignments(args.size)}
    arguments = make_arguments(kernel, given, scalars, args.inputs, np.random.default_rng(args.seed))
    before = {b.name: arguments[b.name].copy() for b in tensors(kernel)}
    execute(kernel, arguments, backend, args)
    print(f"{kernel.name} on {backend}:")
    results = {b.name for b in kernel.results}
    for b in tensors(kernel):
        after = arguments[b.name]
        if b.name in results or before[b.name].tobytes() != after.tobytes():
            print(f"  {b.name}: {b.dtype}{list(after.shape)} {checksum(after)}")
    if args.save:
        save(args.save, {b.name: arguments[b.name] for b in tensors(kernel)})


def tensors(kernel: Kernel) -> list[Buffer]:
    return [p for p in kernel.params if isinstance(p, Buffer)]


def execute(kernel: Kernel, arguments: Mapping[str, Any], backend: str, args: argparse.Namespace) -> None:
    """Runs the kernel on the arrays in place, after all passes where the backend needs them."""
    if backend == "tile":
        tile_interp.run(kernel, arguments, mode=args.mode)
        return
    lowered = lower_text(kernel, chosen_target(args.target)) if backend == "cpu" or is_tile_stage(kernel) else None
    if backend == "simt":
        interp.run(lowered.final if lowered else kernel, arguments, mode=args.mode)
    elif lowered is not None:
        sizes = {v.name for v in kernel.sizes}
        backends.run(lowered, (), {n: v for n, v in arguments.items() if n not in sizes}, backend=backend)


# -------------------------------------------------------------------------------------------------------- inputs


def make_arguments(
    kernel: Kernel, given: Mapping[str, Array], scalars: Mapping[str, Any], kind: str, rng: np.random.Generator
) -> dict[str, Any]:
    """Every argument by name. Sizes that no one names follow from the given arrays. Raises TileError TD0718."""
    if kind not in ("ints", "random") and not kind.endswith(".npz"):
        raise error("TD0718", what="--inputs", expected="ints, random or FILE.npz", got=f"'{kind}'")
    known: dict[Var, Any] = {}
    for b in tensors(kernel):
        for extent, n in zip(b.shape, given[b.name].shape if b.name in given else ()):
            if isinstance(extent, Var):
                known[extent] = n
    for v in (*kernel.sizes, *(p for p in kernel.params if isinstance(p, Var))):
        if v.name in scalars:
            known[v] = scalars[v.name]
        if v not in known:
            raise error("TD0718", what=f"'{v.name}'", expected=f"a value, as --size {v.name}=16", got="none")
    made: dict[str, Any] = {v.name: value for v, value in known.items()}
    numbers = {v: np.int64(n) if isinstance(n, int) else n for v, n in known.items()}
    written = {b.name for b in kernel.results}
    for b in tensors(kernel):
        shape = tuple(host_value(n, numbers) for n in b.shape)
        array = empty(b, shape, numbers)
        if b.name in given:
            if given[b.name].shape != shape:
                raise error("TD0718", what=f"'{b.name}'", expected=f"shape {shape}", got=f"{given[b.name].shape}")
            array[...] = given[b.name].astype(array.dtype)
        elif b.name not in written:
            array[...] = values(b.dtype, shape, kind, rng).astype(array.dtype)
        made[b.name] = array
    return made


def empty(b: Buffer, shape: tuple[int, ...], numbers: Mapping[Var, Any]) -> Array:
    """Zeros with the strides that the kernel expects."""
    dtype = numpy_dtype(b.dtype)
    if b.strides is None:
        return np.zeros(shape, dtype)
    steps = [host_value(n, numbers) for n in b.strides]
    size = 1 + sum((n - 1) * step for n, step in zip(shape, steps))
    return np.lib.stride_tricks.as_strided(np.zeros(size, dtype), shape, [s * dtype.itemsize for s in steps])


def values(dtype: DType, shape: tuple[int, ...], kind: str, rng: np.random.Generator) -> Array:
    """`ints`: small integers, exact in every dtype; `random`: normal floats, integers up to 100."""
    match dtype.kind:
        case Kind.BOOL:
            return rng.integers(0, 2, shape)
        case Kind.FLOAT if kind == "random":
            return rng.standard_normal(shape)
        case Kind.FLOAT:
            return rng.integers(-4, 5, shape)
    low, high = dtype.int_range
    most = 100 if kind == "random" else 4
    return rng.integers(max(low, -most), min(high, most) + 1, shape)


# ------------------------------------------------------------------------------------------------------- results


def checksum(a: Array) -> str:
    """CRC-32 of the row-major bytes, and the sum, least and greatest value as float64."""
    crc = zlib.crc32(np.ascontiguousarray(a).tobytes())
    if not a.size:
        return f"crc32 {crc:08x}"
    numbers = a.astype(np.float64)
    return f"crc32 {crc:08x}  sum {numbers.sum():.8g}  min {numbers.min():.8g}  max {numbers.max():.8g}"


def load_arrays(path: str) -> dict[str, Array]:
    try:
        with np.load(path) as archive:
            return dict(archive)
    except (OSError, ValueError) as problem:
        raise error("TD0710", path=path, problem=problem) from None


def save(path: str, arrays: Mapping[str, Array]) -> None:
    write_file(path, b"")  # says what is wrong with the path
    np.savez(
        path, allow_pickle=False, **{n: a.astype(np.float32) if a.dtype.kind == "V" else a for n, a in arrays.items()}
    )
