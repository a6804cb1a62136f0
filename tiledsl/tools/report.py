"""`tiledsl report`: what a kernel costs, without a GPU."""

from __future__ import annotations

import argparse

from tiledsl.errors import error
from tiledsl.report import report
from tiledsl.tools.loading import add_kernel_arguments, add_sizes, assignments, lowered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--gpu", help="a product with that target, e.g. H100 (default: the first of its target)")
    add_sizes(parser)


def run(args: argparse.Namespace) -> None:
    sizes = assignments(args.size)
    for name, value in sizes.items():
        if not isinstance(value, int):
            raise error("TD0634", what=f"the size '{name}'", expected="an integer", given=repr(value))
    found = report(lowered(args), sizes, args.gpu)
    print(found.to_json() if args.json else found)
