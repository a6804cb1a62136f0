"""`tiledsl check`: runs a kernel on the CPU under many schedules and tells what is wrong; every case of a file too."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

from tiledsl.checking import CheckResult, check
from tiledsl.errors import TileError
from tiledsl.testing import Case, check_case
from tiledsl.tools.loading import add_kernel_arguments, assignments, chosen_target, find_cases, lowered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    parser.usage = (
        "tiledsl check FILE.py[:KERNEL|:CASE]|FILE.tir [-a NAME=VALUE] [--size NAME=VALUE] "
        "[--schedules N] [--seed N] [--target GPU] [--json]"
    )
    parser.epilog = (
        "A file with a function cases() is checked on the inputs and references of its cases, all of them or those "
        "that the name or pattern after ':' says. Any other kernel gets small integers as inputs. Exit status 1 if "
        "anything was found."
    )
    parser.add_argument("--schedules", type=int, default=10, metavar="N", help="how many of them (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs and the random schedules")
    parser.add_argument(
        "--size", action="append", default=[], metavar="NAME=VALUE", help="a dynamic size or a scalar parameter"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, one object a kernel")


def run(args: argparse.Namespace) -> int:
    """Returns 1 if anything was found."""
    bad = 0
    for result in results(args):
        bad += not result.ok
        print(result.to_json() if args.json else result, flush=True)
    return 1 if bad else 0
