"""`tiledsl report`: what a kernel costs, without a GPU."""

from __future__ import annotations

import argparse

from tiledsl.report import report
from tiledsl.tools.loading import add_kernel_arguments, lowered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> None:
    found = report(lowered(args))
    print(found.to_json() if args.json else found)
