"""`tiledsl dump`: the IR of a kernel at a stage, or its CUDA text."""

from __future__ import annotations

import argparse

from tiledsl.ir.printer import text
from tiledsl.tools.loading import add_kernel_arguments, lowered, traced, write_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--after", metavar="PASS", help="the IR after this pass; 'trace' is before all (default: the last)"
    )
    what.add_argument("--cuda", action="store_true", help="the CUDA text that NVRTC is given")
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead of standard output")


def run(args: argparse.Namespace) -> None:
    if args.after == "trace":
        write_output(args.output, text(traced(args)))
        return
    result = lowered(args)
    if args.cuda:
        write_output(args.output, result.cuda)
    else:
        write_output(args.output, text(result.after(args.after) if args.after else result.final))
