"""`tiledsl layout`: a layout as a table, or as a picture: fragments coloured by thread, shared layouts by bank."""

from __future__ import annotations

import argparse
import re
from html import escape
from math import prod

from tiledsl.analysis.layout_tables import offset_table, reg_table, thread_table
from tiledsl.errors import error
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.literals import layout_text
from tiledsl.ir.nodes import Assigned, Kernel
from tiledsl.ir.parser import parse_layout
from tiledsl.tools.loading import add_kernel_arguments, is_python, lowered, read_ir, write_file

_BANKS, _BANK_BITS = 32, 32  # CUDA C++ Programming Guide, "Shared Memory": 32 banks of 32-bit words


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


def cells(layout: Fragment | Layout, bits: int) -> tuple[list[str], list[int]]:
    """For each element in row-major order its label, and the thread or bank that colours it.

    A fragment's label is thread:register, with `+` where more threads hold the element; a shared layout's the offset.
    """
    if isinstance(layout, Fragment):
        threads, regs = thread_table(layout)[:, 0].tolist(), reg_table(layout).tolist()
        more = "+" if layout.replication > 1 else ""
        return [f"T{t}{more}:{r}" for t, r in zip(threads, regs)], threads
    offsets = offset_table(layout).ravel().tolist()
    return [str(o) for o in offsets], [o * bits // _BANK_BITS % _BANKS for o in offsets]


def _grid(layout: Fragment | Layout) -> tuple[int, int]:
    """Rows and columns of the drawing: the leading dimensions are stacked."""
    shape = layout.shape or (1,)
    return prod(shape[:-1]), shape[-1]


def table(layout: Fragment | Layout, bits: int, max_rows: int, max_columns: int) -> str:
    """The corner of the layout as text, under a line that says what the layout is."""
    labels, groups = cells(layout, bits)
    if isinstance(layout, Layout):
        labels = [f"{label}/{bank}" for label, bank in zip(labels, groups)]
        head = f"{layout_text(layout)}\noffset/bank of each element of {bits} bits"
    else:
        held = f"{layout.num_regs} registers in each of {layout.num_threads} threads, {layout.replication} copies"
        head = f"{layout_text(layout)}\nthread:register of each element; {held}"
    rows, columns = _grid(layout)
    width = max(map(len, labels))
    lines = [head]
    for r in range(min(rows, max_rows)):
        shown = labels[r * columns : r * columns + min(columns, max_columns)]
        lines.append(" ".join(label.rjust(width) for label in shown) + (" ..." if columns > max_columns else ""))
    return "\n".join([*lines, "..."] if rows > max_rows else lines)


_WIDTH, _HEIGHT, _TOP = 46, 20, 24


def svg(layout: Fragment | Layout, bits: int) -> str:
    """The whole layout as an SVG document."""
    labels, groups = cells(layout, bits)
    rows, columns = _grid(layout)
    kind = "thread:register" if isinstance(layout, Fragment) else f"offset, coloured by bank ({bits}-bit elements)"
    size = f'width="{columns * _WIDTH + 2}" height="{rows * _HEIGHT + _TOP + 2}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="monospace" font-size="10">',
        f'<text x="1" y="14">{escape(layout_text(layout))}: {kind}</text>',
    ]
    for i, (label, group) in enumerate(zip(labels, groups)):
        x, y = i % columns * _WIDTH + 1, i // columns * _HEIGHT + _TOP
        parts.append(
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" fill="{colour(group)}" stroke="#666"/>'
            f'<text x="{x + _WIDTH // 2}" y="{y + 14}" text-anchor="middle">{label}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def colour(group: int) -> str:
    """A hue for each lane or bank, paler for each further warp."""
    return f"hsl({group % 32 * 360 // 32},70%,{72 + group // 32 % 8 * 3}%)"
