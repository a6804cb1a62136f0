"""`tiledsl run`: executes IR text of any stage, or a kernel, on made or given inputs, and prints checksums.

With `--from` and `--until` passes run first, so that a dumped text can be edited and taken on from there.
"""

from __future__ import annotations

import argparse
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiledsl import backends
from tiledsl.checking.compare import difference
from tiledsl.cpu import interp, tile_interp
from tiledsl.cpu.arrays import copies_of, zeros
from tiledsl.cpu.binding import host_value
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.errors import error
from tiledsl.ir.dtypes import DType, Kind
from tiledsl.ir.nodes import Buffer, Kernel, Var
from tiledsl.ir.printer import text
from tiledsl.passes.base import Pass, run_pipeline
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.tools.loading import (
    add_kernel_arguments,
    add_sizes,
    assignments,
    chosen_target,
    lower_text,
    the_file,
    traced,
    write_file,
)
from tiledsl.validation.compare import CHECKS, Stage, stage_after, stage_of

Array = np.ndarray[Any, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    parser.add_argument("--from", dest="start", metavar="PASS", help="first run the passes from this one on")
    parser.add_argument("--until", metavar="PASS", help="the last pass that runs (default with --from: all)")
    parser.add_argument("--print-changed", action="store_true", help="print the IR after each pass that changes it")
    parser.add_argument("--against", metavar="FILE", help="run this kernel or text on the same inputs, and compare")
    parser.add_argument("--inputs", default="ints", metavar="ints|random|FILE.npz", help="default: small integers")
    add_sizes(parser)
    parser.add_argument("--backend", choices=("tile", "simt", "cpu"), help="default: tile or simt, as the text needs")
    parser.add_argument("--mode", choices=("early", "late"), default="early", help="when asynchronous copies deliver")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs")
    parser.add_argument("--save", metavar="FILE.npz", help="write all tensors there afterwards")


def run(args: argparse.Namespace) -> int:
    """Returns 1 if the passes, or the other kernel of --against, give other results."""
    given = Subject(traced(args), stage_in_file(args))
    arrays = load_arrays(args.inputs) if args.inputs.endswith(".npz") else {}
    scalars = {**{n: v.item() for n, v in arrays.items() if v.ndim == 0}, **assignments(args.size)}
    rng = np.random.default_rng(args.seed)
    arguments = make_arguments(given.kernel, arrays, scalars, args.inputs, rng)
    subject = after_passes(given, args) if args.start or args.until else given
    after = executed(subject, arguments, args.backend, args)
    same = True
    if subject is not given:
        same = agree(after, executed(given, arguments, None, args), "before these passes")
    if args.against:
        other = Subject(traced_from(args.against, args), stage_in_name(args.against))
        same = agree(after, executed(other, arguments, None, args), f"from {args.against}") and same
    if args.save:
        save(args.save, {b.name: after[b.name] for b in tensors(subject.kernel)})
    return int(not same)


@dataclass(frozen=True)
class Subject:
    """A kernel and what can be asked of it; None: to be seen from the kernel."""

    kernel: Kernel
    stage: Stage | None = None


def executed(
    subject: Subject, arguments: Mapping[str, Any], wanted: str | None, args: argparse.Namespace
) -> dict[str, Array]:
    """Runs on copies of the arguments, prints what changed, and returns all tensors by name."""
    kernel = subject.kernel
    stage = subject.stage or stage_of(kernel)
    backend = wanted or ("tile" if stage is Stage.TILE else "simt")
    copies = copies_of(arguments)
    execute(kernel, copies, backend, stage, args)
    print(f"{kernel.name} on {backend}:")
    results = {b.name for b in kernel.results}
    for b in tensors(kernel):
        if b.name in results or arguments[b.name].tobytes() != copies[b.name].tobytes():
            print(f"  {b.name}: {b.dtype}{list(copies[b.name].shape)} {checksum(copies[b.name])}")
    return {b.name: copies[b.name] for b in tensors(kernel)}


def agree(after: Mapping[str, Array], other: Mapping[str, Array], what: str) -> bool:
    """Whether the tensors are the same bit for bit; says so, or where they differ first."""
    for name in after:
        if name not in other or after[name].shape != other[name].shape:
            raise error("TD0718", what=f"'{name}'", expected=f"shape {after[name].shape}", got="another kernel")
        if found := difference(after[name], other[name]):
            print(f"{name} differs from that {what}: {found}")
            return False
    print(f"the same results as {what}")
    return True


def execute(kernel: Kernel, arguments: Mapping[str, Any], backend: str, stage: Stage, args: argparse.Namespace) -> None:
    """Runs the kernel on the arrays in place, after all passes where the backend needs them."""
    if backend == "tile":
        tile_interp.run(kernel, arguments, mode=args.mode)
        return
    lowered = lower_text(kernel, chosen_target(args.target)) if backend == "cpu" or stage is Stage.TILE else None
    if backend == "simt":
        how = {"mode": args.mode, **({} if lowered else CHECKS[stage])}
        interp.run(lowered.final if lowered else kernel, arguments, **how)
    elif lowered is not None:
        sizes = {v.name for v in kernel.sizes}
        backends.run(lowered, (), {n: v for n, v in arguments.items() if n not in sizes}, backend=backend)


# --------------------------------------------------------------------------------------------------------- passes

_DUMP = re.compile(r"^\d+-([a-z-]+)$")


def stage_in_name(spec: str) -> Stage | None:
    """What NN-PASS.tir holds, as TILEDSL_DUMP names its files; None for any other name."""
    found = _DUMP.match(Path(the_file(spec)).stem)
    return stage_after(found[1]) if found and found[1] in PASSES else None


def stage_in_file(args: argparse.Namespace) -> Stage | None:
    """That, or with --from what the passes before it leave."""
    if args.start is None:
        return stage_in_name(args.kernel)
    names = list(PASSES)
    at = _position(args.start)
    found = _DUMP.match(Path(the_file(args.kernel)).stem)
    if found and found[1] == args.start:
        following = names[at + 1] if at + 1 < len(names) else "none is left"
        raise error("TD0722", path=the_file(args.kernel), name=args.start, next=following)
    return stage_after(names[at - 1]) if at else Stage.TILE


def after_passes(given: Subject, args: argparse.Namespace) -> Subject:
    """The kernel after the passes from --from (default: the first) to --until (default: the last)."""
    first = _position(args.start) if args.start else 0
    last = _position(args.until) if args.until else len(PASSES) - 1
    if last < first:
        raise error("TD0723", until=args.until, start=args.start)

    def show(p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        if args.print_changed and after is not before and text(after) != text(before):
            print(f"# ---- after {p.name}\n{text(after)}")

    passes = pipeline(chosen_target(args.target))[first : last + 1]
    return Subject(run_pipeline(given.kernel, passes, show), stage_after(list(PASSES)[last]))


def _position(name: str) -> int:
    if name not in PASSES:
        raise error("TD0761", name=name, known=", ".join(PASSES))
    return list(PASSES).index(name)


def traced_from(spec: str, args: argparse.Namespace) -> Kernel:
    return traced(argparse.Namespace(**{**vars(args), "kernel": spec}))


def tensors(kernel: Kernel) -> list[Buffer]:
    return [p for p in kernel.params if isinstance(p, Buffer)]


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
        steps = None if b.strides is None else [host_value(n, numbers) for n in b.strides]
        array = zeros(shape, numpy_dtype(b.dtype), steps)  # what the kernel expects
        if b.name in given:
            if given[b.name].shape != shape:
                raise error("TD0718", what=f"'{b.name}'", expected=f"shape {shape}", got=f"{given[b.name].shape}")
            array[...] = given[b.name].astype(array.dtype)
        elif b.name not in written:
            array[...] = values(b.dtype, shape, kind, rng).astype(array.dtype)
        made[b.name] = array
    return made


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
