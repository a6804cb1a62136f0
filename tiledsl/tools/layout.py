"""`tiledsl layout`: a layout as a table, or as a picture: fragments coloured by thread, shared layouts by bank."""

from __future__ import annotations

import argparse
import re

from tiledsl.analysis.layout_pictures import svg, table
from tiledsl.errors import error
from tiledsl.ir.literals import layout_text
from tiledsl.ir.nodes import Assigned, Kernel
from tiledsl.ir.parser import parse_layout
from tiledsl.tools.loading import add_kernel_arguments, is_python, lowered, read_ir, write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    parser.usage = "tiledsl layout LAYOUT|FILE.tir|FILE.py:KERNEL [--buffer NAME] [--svg FILE] [--bits N]"
    parser.add_argument("--buffer", metavar="NAME", help="the buffer of the kernel (default: list all)")
    parser.add_argument(
        "--bits", type=int, default=None, help="of an element, for banks (default: the buffer's, or 32)"
    )
    parser.add_argument("--svg", metavar="FILE", help="draw it there")
    parser.add_argument("--rows", type=int, default=32, help="at most so many in the table")
    parser.add_argument("--columns", type=int, default=16, help="at most so many in the table")


def run(args: argparse.Namespace) -> None:
    if re.match(r"\s*(fragment|shared)\s*\[", args.kernel):
        layout, bits = parse_layout(args.kernel), 32
    else:
        rows = [] if is_python(args.kernel) else assigned(read_ir(args.kernel))
        rows = rows or assigned(lowered(args).after("infer-layouts"))
        if args.buffer is None:
            print("\n".join(f"{a.buffer.name} = {layout_text(a.layout)}  # {a.why}" for a in rows))
            return
        found = next((a for a in rows if a.buffer.name == args.buffer), None)
        if found is None:
            known = ", ".join(a.buffer.name for a in rows)
            raise error("TD0704", word=args.buffer, what="buffer with a layout", known=known or "none")
        layout, bits = found.layout, found.buffer.dtype.bits
    bits = args.bits or bits
    if args.svg:
        write_file(args.svg, svg(layout, bits).encode())
        print(f"{args.svg}: {layout_text(layout)}")
    else:
        print(table(layout, bits, args.rows, args.columns))


def assigned(kernel: Kernel) -> list[Assigned]:
    """All rows of the layout tables of a kernel."""
    return [a for launch in kernel.launches for a in launch.layouts]
