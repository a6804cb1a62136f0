"""Pictures of layouts as data: which register of which threads, or which address, holds each element of a tile."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tiledsl.analysis.layout_tables import offset_table, reg_table, thread_table
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.literals import layout_text
from tiledsl.ir.nodes import Alloc, Assigned, Kernel
from tiledsl.ir.walk import walk
from tiledsl.viewer.places import Places

MOST_REPLICAS = 8  # of the threads that hold one element so many are listed


@dataclass(frozen=True)
class LayoutPicture:
    """Elements in row-major order; the leading dimensions are stacked to `rows`.

    Of a fragment (`kind` "fragment") `threads` has, element after element, `replicas` threads that hold it (of
    `replication`), `places` its register. Of a shared tile `threads` is empty and `places` has offsets in elements.
    """

    launch: str
    buffer: str
    dtype: str
    bits: int
    kind: str
    text: str
    why: str
    place: str
    shape: tuple[int, ...]
    rows: int
    columns: int
    num_threads: int
    num_regs: int
    size: int
    replication: int
    replicas: int
    threads: tuple[int, ...]
    places: tuple[int, ...]


def layout_pictures(kernel: Kernel, places: Places) -> tuple[LayoutPicture, ...]:
    """Of all buffers that have a layout, launch by launch."""
    out = []
    for launch in kernel.launches:
        allocated = {s.buffer: s for top in launch.body for s in walk(top) if isinstance(s, Alloc)}
        for a in launch.layouts:
            place = places.of(allocated[a.buffer].span) if a.buffer in allocated else ""
            out.append(_picture(launch.name, a, place))
    return tuple(out)


def _picture(launch: str, a: Assigned, place: str) -> LayoutPicture:
    layout = a.layout
    shape = layout.shape or (1,)
    threads, held, sizes = _fragment(layout) if isinstance(layout, Fragment) else _shared(layout)
    return LayoutPicture(
        launch=launch,
        buffer=a.buffer.name,
        dtype=a.buffer.dtype.name,
        bits=a.buffer.dtype.bits,
        kind="fragment" if isinstance(layout, Fragment) else "shared",
        text=layout_text(layout),
        why=a.why,
        place=place,
        shape=layout.shape,
        rows=prod(shape[:-1]),
        columns=shape[-1],
        threads=threads,
        places=held,
        **sizes,
    )


Tables = tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]


def _fragment(f: Fragment) -> Tables:
    replicas = min(f.replication, MOST_REPLICAS)
    sizes = {"num_threads": f.num_threads, "num_regs": f.num_regs, "size": 0}
    sizes |= {"replication": f.replication, "replicas": replicas}
    return tuple(thread_table(f)[:, :replicas].ravel().tolist()), tuple(reg_table(f).tolist()), sizes


def _shared(layout: Layout) -> Tables:
    sizes = {"num_threads": 0, "num_regs": 0, "size": layout.size, "replication": 1, "replicas": 1}
    return (), tuple(offset_table(layout).ravel().tolist()), sizes
