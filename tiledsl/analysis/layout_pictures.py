"""Layouts as text tables and as SVG pictures: fragments coloured by thread, shared layouts by bank."""

from __future__ import annotations

from html import escape
from math import prod

from tiledsl.analysis.layout_tables import offset_table, reg_table, thread_table
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.literals import layout_text

_BANKS, _BANK_BITS = 32, 32  # CUDA C++ Programming Guide, "Shared Memory": 32 banks of 32-bit words


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
