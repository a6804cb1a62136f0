"""`tiledsl opt`: IR text in, passes, IR text out. Verification is always on."""

from __future__ import annotations

import argparse

from tiledsl.ir.nodes import Kernel
from tiledsl.ir.printer import text
from tiledsl.passes.base import Pass, parse_pipeline, run_pipeline
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.tools.loading import add_target, chosen_target, read_ir, write_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.tir", help="IR text; '-' reads standard input")
    parser.add_argument("-p", "--passes", metavar="PIPELINE", help='such as "normalise,unroll{limit=8}" (default: all)')
    parser.add_argument("--print-after-all", action="store_true", help="print the IR after each pass")
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead of standard output")
    add_target(parser)


def run(args: argparse.Namespace) -> None:
    target = chosen_target(args.target)
    kernel = read_ir(args.file)
    passes = pipeline(target) if args.passes is None else parse_pipeline(args.passes, PASSES, target)

    def show(p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        note = " (no change)" if after is before else ""
        print(f"# ---- after {p}{note}\n{text(after) if after is not before else ''}")

    result = run_pipeline(kernel, passes, show if args.print_after_all else None)
    if not args.print_after_all or args.output:
        write_output(args.output, text(result))
