"""`tiledsl trace`: one HTML file that shows how a kernel was compiled."""

from __future__ import annotations

import argparse

from tiledsl.tools.loading import add_kernel_arguments, lowered_with_options, write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    parser.add_argument("-o", "--output", metavar="FILE", default="trace.html", help="default: trace.html")


def run(args: argparse.Namespace) -> None:
    from tiledsl.viewer.model import trace_of
    from tiledsl.viewer.page import require_packages, trace_page

    require_packages()
    result, options = lowered_with_options(args)
    page = trace_page(trace_of(result, options)).encode()
    write_file(args.output, page)
    print(
        f"{args.output}: {result.final.name} for {result.target.name}, {len(result.stages)} stages, {len(page)} bytes"
    )
