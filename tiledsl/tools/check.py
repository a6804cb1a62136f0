"""`tiledsl check`: runs a kernel on the CPU under many schedules and tells what is wrong; every case of a file too."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tiledsl.checking import CheckResult, Reference, check
from tiledsl.cpu.findings import Finding
from tiledsl.errors import TileError
from tiledsl.testing import Case, Draw
from tiledsl.tools.loading import (
    add_kernel_arguments,
    add_sizes,
    assignments,
    cases_of,
    chosen_target,
    find_tile_kernel,
    is_python,
    load_module,
    lower_text,
    read_ir,
    split_spec,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    parser.usage = (
        "tiledsl check FILE.py[:KERNEL|:CASE]|FILE.tir [-a NAME=VALUE] [--size NAME=VALUE] "
        "[--schedules N] [--seed N] [--target GPU] [--json]"
    )
    parser.epilog = (
        "A file with a function cases() is checked on the inputs and references of its cases, all of them or those "
        "that the name or pattern after ':' says. Any other kernel gets small integers as inputs. Exit status: 1 if "
        "anything was found, 2 if the kernel cannot be compiled or run."
    )
    parser.add_argument("--schedules", type=int, default=10, metavar="N", help="how many of them (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs and the random schedules")
    add_sizes(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, a list with one object a kernel")


def run(args: argparse.Namespace) -> int:
    """Returns 1 if anything was found."""
    found: list[CheckResult] = []
    for result in results(args):
        found.append(result)
        if not args.json:
            print(result, flush=True)
    if args.json:
        print(json.dumps([r.as_data() for r in found], indent=1))
    elif len(found) > 1:
        bad = [r.kernel for r in found if not r.ok]
        print(f"{len(found)} cases, {len(bad)} with findings" + (f": {', '.join(bad)}" if bad else ""))
    return int(not all(r.ok for r in found))


def results(args: argparse.Namespace) -> Iterator[CheckResult]:
    """One for each case that is named, or one for the kernel."""
    how = {"schedules": args.schedules, "seed": args.seed}
    if not is_python(args.kernel):
        yield check(lower_text(read_ir(args.kernel), chosen_target(args.target)), (), assignments(args.size), **how)
        return
    module, (_, name) = load_module(args.kernel), split_spec(args.kernel)
    static = assignments(args.argument)
    cases = [] if static or args.size or name in vars(module) else cases_of(module, name or "*")
    for case in cases:
        yield checked_case(case, chosen_target(args.target or case.kernel.target).name, how)
    if not cases:
        kernel, rest = find_tile_kernel(module, args.kernel, static)
        compiled = kernel.compile(target=chosen_target(args.target or kernel.target).name, **rest)
        yield check(compiled, (), assignments(args.size), **how)


def checked_case(case: Case, target: str, how: Mapping[str, Any]) -> CheckResult:
    """On the case's inputs, against its reference. A kernel that cannot be compiled is a finding too."""
    try:
        compiled = case.compiled(target)
    except TileError as problem:
        return CheckResult(
            case.name, target, "nothing: it does not compile", (), (Finding.of(problem),), (("the compiler",),)
        )
    inputs = case.inputs(Draw(how["seed"]))
    tolerances = (0.0, 0.0) if case.exact else (case.rtol, case.atol)
    reference = Reference(case.reference(**inputs), *tolerances)
    return check(compiled, (), inputs, reference=reference, name=case.name, **how)
