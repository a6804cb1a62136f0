"""`tiledsl bisect`: the first pass after which a kernel computes something else, or races."""

from __future__ import annotations

import argparse
from pathlib import Path

from tiledsl.errors import error
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.tile import is_tile_stage
from tiledsl.passes.base import Pass
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.target import Target
from tiledsl.tools.loading import (
    add_parameters,
    add_target,
    assignments,
    chosen_target,
    is_python,
    load_tile_kernel,
    read_ir,
)
from tiledsl.validation.bisect import Step, bisect, bisect_stages, dumped
from tiledsl.validation.bundle import write_bundle
from tiledsl.validation.trail import Deviation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "kernel", nargs="?", metavar="FILE.py:KERNEL|FILE.tir", help="a kernel, or IR text ('-' reads it)"
    )
    what.add_argument("--from", dest="dump", metavar="DIR", help="compare the files of a dump (TILEDSL_DUMP=all)")
    parser.add_argument("--no-bundle", action="store_true", help="write no repro bundle of what is found")
    parser.epilog = (
        "Exit status: 0 if every pass keeps what the kernel computes, 1 if one does not, 2 if the kernel cannot be "
        "compiled or run."
    )
    add_target(parser)
    add_parameters(parser)


def run(args: argparse.Namespace) -> int:
    """Prints each pass, then the first wrong one, and its bundle if that is wanted. Returns 1 if there is one."""
    if args.dump:
        target = chosen_target(args.target)
        kernel, steps = _steps(Path(args.dump), target)
        found = bisect_stages(steps, kernel, seen=_say)
    else:
        kernel, passes, target = _subject(args)
        found = bisect(kernel, passes, seen=_say)
    if found is None:
        print(f"{kernel.name}: every pass keeps what the kernel computes")
        return 0
    print(f"{kernel.name}: '{found.what}' is the first that is wrong\n  {found.why}")
    if not args.no_bundle:
        print(f"  bundle: {write_bundle(found.bundle(target.name))}")
    return 1


def _say(name: str, found: Deviation | None) -> None:
    print(f"  {name:<20} {'WRONG' if found else 'same'}", flush=True)


def _subject(args: argparse.Namespace) -> tuple[Kernel, tuple[Pass, ...], Target]:
    """The kernel, the passes it goes through, and the target: of lowered text there is only the emitter left."""
    if is_python(args.kernel):
        kernel, static = load_tile_kernel(args.kernel, assignments(args.argument))
        target = chosen_target(args.target or kernel.target)
        return kernel.trace(**static), pipeline(target, kernel.options), target
    target = chosen_target(args.target)
    program = read_ir(args.kernel)
    return program, pipeline(target) if is_tile_stage(program) else (), target


def _steps(directory: Path, target: Target) -> tuple[Kernel, list[Step]]:
    files = dumped(directory)
    if not files or any(name not in PASSES for name, _ in files[1:]):
        raise error("TD0733", path=directory)
    kernels = [read_ir(str(path)) for _, path in files]
    bound = {p.name: p for p in pipeline(target)}
    return kernels[0], [Step(bound[name], k) for (name, _), k in zip(files[1:], kernels[1:])]
