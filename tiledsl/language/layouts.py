"""Layouts that the user writes: index functions recovered as digits by probing, and the standard swizzles.

`T.annotate_layout` accepts what these words return, and layouts of `tiledsl.ir.layout`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

from tiledsl.errors import Span, error
from tiledsl.frontend.proxies import describe
from tiledsl.frontend.source import by_python, fail, here
from tiledsl.frontend.tensors import Tensor
from tiledsl.ir import layout as ir
from tiledsl.ir import layout_ops
from tiledsl.ir.dtypes import DType
from tiledsl.ir.nodes import Buffer, Extent
from tiledsl.ir.recover import recover_fragment, recover_layout
from tiledsl.ir.swizzle import SPANS, choose_swizzle, expand, swizzle_period, swizzled
from tiledsl.language.arguments import whole
from tiledsl.language.sizes import const_sizes

IndexFunction = Callable[..., Any]


class Layout:
    """An arrangement of a shared tensor: `T.Layout((64, 64), lambda i, j: i * 65 + j)`, for T.annotate_layout.

    The function gives the element's offset, or several coordinates of which the last is contiguous. It must be made of
    digits of the indices and at most one XOR swizzle. Raises TileError TD0306 if two elements share an offset, TD0308
    if the function is not regular.
    """

    def __init__(self, shape: Sequence[int], forward_fn: IndexFunction) -> None:
        self.shape = const_sizes(shape, "T.Layout")
        offsets = by_python(_probed, forward_fn, list(_points(self.shape)))
        _check_distinct(offsets, self.shape, "offset", "T.Layout")
        found = recover_layout(self.shape, offsets)
        if found is None:
            raise error("TD0308", here(), buffer="T.Layout", why="its offsets are no mixed-radix map from 0 on")
        self.layout = found

    def __repr__(self) -> str:
        return f"T.Layout({self.layout})"


class Fragment:
    """A distribution of a tile over threads and registers.

    `T.Fragment((64, 64), lambda i, j: (i * 2 + j // 32, j % 32))`: `forward_fn(i, j)` gives (thread, register); or
    `forward_thread_fn(i, j)` the thread and `forward_index_fn(i, j)` the register, which without it numbers the
    elements of a thread row by row. With `replicate=n` the thread function takes a further argument 0 .. n - 1. Raises
    TileError TD0306 if two elements share a place, TD0307 for none or both of the functions, TD0308 if the map is not
    regular.
    """

    def __init__(
        self,
        shape: Sequence[int],
        forward_fn: IndexFunction | None = None,
        forward_thread_fn: IndexFunction | None = None,
        forward_index_fn: IndexFunction | None = None,
        replicate: int = 1,
    ) -> None:
        shape = const_sizes(shape, "T.Fragment")
        if (forward_fn is None) == (forward_thread_fn is None):
            why = "give either forward_fn or forward_thread_fn"
            raise error("TD0307", here(), buffer="T.Fragment", why=why)
        points = list(_points(shape))
        if forward_fn is not None:
            threads, regs = by_python(_probed_places, forward_fn, points, replicate)
        else:
            threads = by_python(_probed_threads, forward_thread_fn, points, replicate)
            regs = by_python(_probed, forward_index_fn, points) if forward_index_fn is not None else _ranks(threads[0])
        places = [(t, r) for row in threads for t, r in zip(row, regs)]
        _check_distinct(places, shape, "thread and register", "T.Fragment")
        found = recover_fragment(shape, threads, regs)
        if found is None:
            raise error(
                "TD0308", here(), buffer="T.Fragment", why="threads or registers are no mixed-radix map from 0 on"
            )
        self.fragment = found

    @classmethod
    def _of(cls, f: ir.Fragment | None, what: str) -> Fragment:
        if f is None:
            raise error("TD0308", here(), buffer="T.Fragment", why=f"its digits cross the dimensions, so {what}")
        made = cls.__new__(cls)
        made.fragment = f
        return made

    @property
    def shape(self) -> tuple[int, ...]:
        return self.fragment.shape

    def repeat(self, repeats: Sequence[int], repeat_on_thread: bool = False, lower_dim_first: bool = True) -> Fragment:
        """The tile `repeats` times along each dimension, in further registers or further threads.

        Repetitions are numbered with the last dimension fastest, or with the first. Raises ValueError below 1.
        """
        if len(repeats) != len(self.shape) or any(n < 1 for n in repeats):
            raise ValueError(f"{tuple(repeats)} are no repeats of a tile of shape {self.shape}")
        repeated = layout_ops.repeat(self.fragment, repeats, repeat_on_thread, lower_dim_first)
        return self._of(repeated, "it cannot be repeated")

    def replicate(self, times: int) -> Fragment:
        """`times` as many threads, each run of which holds the whole tile."""
        if times < 1:
            raise ValueError(f"{times} replicas")
        return self._of(layout_ops.replicate(self.fragment, times), "")

    def __repr__(self) -> str:
        return f"T.Fragment({self.fragment})"


def make_swizzled_layout(buffer: Any, k_major: bool = True, allow_pad: bool = True) -> ir.Layout:
    """The layout without bank conflicts for ldmatrix: the widest swizzle that fits, else padded rows.

    `T.annotate_layout({A_shared: T.make_swizzled_layout(A_shared)})`. Raises TileError TD0235 for what is no tensor,
    TD0307 if no swizzle fits and padding is not allowed. `k_major` is accepted for its spelling.
    """
    shape, bits = _static(buffer), _buffer(buffer).dtype.bits
    layout = choose_swizzle(shape, bits)
    if layout.swizzle is None and not allow_pad:
        why = f"no swizzle fits rows of {shape[-1]} elements of {bits} bits"
        raise error("TD0307", here(), buffer=_buffer(buffer).name, why=why)
    return layout


def make_full_bank_swizzled_layout(buffer: Any) -> ir.Layout:
    """Rows cut into panels of 128 bytes, 16-byte chunks exchanged within 8 rows.

    `T.annotate_layout({B_shared: T.make_full_bank_swizzled_layout(B_shared)})`. Raises TileError TD0307 unless rows are
    whole panels and their number a multiple of 8.
    """
    return _swizzled(buffer, 128)


def make_half_bank_swizzled_layout(buffer: Any) -> ir.Layout:
    """Rows cut into panels of 64 bytes, else as T.make_full_bank_swizzled_layout.

    `T.annotate_layout({A_shared: T.make_half_bank_swizzled_layout(A_shared)})`.
    """
    return _swizzled(buffer, 64)


def make_quarter_bank_swizzled_layout(buffer: Any) -> ir.Layout:
    """Rows cut into panels of 32 bytes, else as T.make_full_bank_swizzled_layout.

    `T.annotate_layout({A_shared: T.make_quarter_bank_swizzled_layout(A_shared)})`.
    """
    return _swizzled(buffer, 32)


def make_linear_layout(buffer: Any) -> ir.Layout:
    """Row-major, without padding. `T.annotate_layout({A_shared: T.make_linear_layout(A_shared)})`."""
    return ir.row_major(_static(buffer))


def plot_layout(
    layout: Any,
    save_directory: str = "./tmp",
    name: str = "layout",
    colormap: str | None = None,
    verbose: bool = False,
    formats: str | Sequence[str] = "svg",
    bits: int = 32,
) -> list[str]:
    """Draws a layout into `save_directory`, on the host: `T.plot_layout(T.Layout((8, 8), lambda i, j: j * 8 + i))`.

    `layout` is a T.Layout, a T.Fragment, or what a make_..._layout word gives. "svg" is a picture: of a fragment each
    element with its thread and register, coloured by thread; of a shared layout with its offset, coloured by the bank
    of elements of `bits` bits. "txt" is the same as a table, which `verbose` prints too; "all" are both. The result are
    the names of the files, `name` with a format behind it. `colormap` is accepted for its spelling. Raises TileError
    TD0307 for what is no layout, TD0226, TD0715. `tiledsl layout` draws those that the compiler chose.
    """
    from tiledsl.analysis.layout_pictures import svg, table  # NumPy is loaded only where tables are needed

    word = "T.plot_layout"
    given = [formats] if isinstance(formats, str) else list(formats)
    wanted = ["svg", "txt"] if "all" in given else given
    if not wanted or any(f not in ("svg", "txt") for f in wanted):
        raise fail("TD0226", word=word, name="formats", value=describe(formats), allowed="'svg', 'txt', 'all'")
    whole(word, "bits", bits, 1, allowed="the bits of an element")
    found = _data(layout)
    if found is None:
        raise error("TD0307", here(), buffer=word, why=f"{describe(layout)} is neither T.Layout nor T.Fragment")
    as_table = table(found, bits, prod(found.shape), prod(found.shape)) + "\n"
    if verbose:
        print(as_table, end="")
    paths = [os.path.join(save_directory, f"{name}.{f}") for f in wanted]
    for path, f in zip(paths, wanted):
        try:
            os.makedirs(save_directory, exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(svg(found, bits) if f == "svg" else as_table)
        except OSError as problem:
            raise fail("TD0715", path=path, problem=problem.strerror) from None
    return paths


def _data(value: Any) -> ir.Fragment | ir.Layout | None:
    """The layout of a word as data; None for what is none."""
    found = value.layout if isinstance(value, Layout) else value.fragment if isinstance(value, Fragment) else value
    return found if isinstance(found, (ir.Fragment, ir.Layout)) else None


def as_layout(value: Any, shape: Sequence[Extent], dtype: DType, span: Span) -> ir.Fragment | ir.Layout:
    """What the user gave as the layout of a tensor of `shape`, as data. A layout of its last dimensions is repeated.

    The size of a shared one is rounded up so that further copies of the tile stay aligned. Raises TileError TD0307 if
    the shapes differ or it is no layout at all.
    """
    found = _data(value)
    if found is None:
        why = f"{type(value).__name__} is neither T.Layout nor T.Fragment"
        raise error("TD0307", span, buffer=f"a {dtype} tensor", why=why)
    if isinstance(found, ir.Layout):
        period = max(128 // dtype.bits, swizzle_period(found))
        found = replace(found, size=-(-found.size // period) * period)
    wanted = tuple(e for e in shape if isinstance(e, int))
    given = tuple(found.shape)
    if isinstance(found, ir.Layout) and len(given) < len(wanted) and wanted[len(wanted) - len(given) :] == given:
        try:
            return expand(found, wanted[: len(wanted) - len(given)])
        except ValueError as raised:
            raise error("TD0307", span, buffer=f"a {dtype} tensor", why=str(raised)) from None
    if given != wanted or len(wanted) != len(shape):
        why = f"it is for shape {given}, the tensor has {tuple(shape)}"
        raise error("TD0307", span, buffer=f"a {dtype} tensor", why=why)
    return found


# ----------------------------------------------------------------------------------------------------------- tables


def _probed(fn: IndexFunction, points: Sequence[Sequence[int]]) -> list[int]:
    """What `fn` gives at each point, as one number."""
    return _flattened([_numbers(fn(*at)) for at in points])


def _probed_threads(fn: IndexFunction, points: Sequence[Sequence[int]], replicas: int) -> list[list[int]]:
    """For each replica the thread of each point."""
    return [[int(fn(*at, *_extra(fn, at, r))) for at in points] for r in range(replicas)]


def _probed_places(
    fn: IndexFunction, points: Sequence[Sequence[int]], replicas: int
) -> tuple[list[list[int]], list[int]]:
    """For each replica the thread of each point, and the register of each point."""
    rows = [[fn(*at, *_extra(fn, at, r)) for at in points] for r in range(replicas)]
    return [[int(place[0]) for place in row] for row in rows], _flattened([_numbers(place[1]) for place in rows[0]])


def _points(shape: Sequence[int]) -> Any:
    return product(*(range(n) for n in shape))


def _extra(fn: IndexFunction, at: Sequence[int], replica: int) -> tuple[int, ...]:
    """The replica's number, for functions that take one."""
    parameters = inspect.signature(fn).parameters.values()
    takes_any = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    return (replica,) if takes_any or len(parameters) > len(at) else ()


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in value) if isinstance(value, (tuple, list)) else (int(value),)


def _flattened(rows: Sequence[tuple[int, ...]]) -> list[int]:
    """Several coordinates as one number, row-major over their ranges."""
    extents = [max(column) + 1 for column in zip(*rows)]
    return [ir.ravel(row, extents) for row in rows]


def _ranks(threads: Sequence[int]) -> list[int]:
    """For each element the number of elements before it on the same thread."""
    seen: dict[int, int] = {}
    ranks = []
    for thread in threads:
        ranks.append(seen.get(thread, 0))
        seen[thread] = ranks[-1] + 1
    return ranks


def _check_distinct(places: Sequence[Any], shape: Sequence[int], what: str, word: str) -> None:
    first: dict[Any, int] = {}
    for number, place in enumerate(places):
        other = first.setdefault(place, number)
        if other != number:
            size = prod(shape)
            a, b = (ir.unravel(n % size, shape) for n in (other, number))
            raise error("TD0306", here(), buffer=word, why=f"elements {a} and {b} both have {what} {place}")


def _buffer(value: Any) -> Buffer:
    found = value if isinstance(value, Buffer) else value.buffer if isinstance(value, Tensor) else None
    if found is None or not found.shape:
        raise error("TD0235", here(), word="a make_..._layout word", parameter="buffer", value=describe(value))
    return found


def _static(value: Any) -> tuple[int, ...]:
    return tuple(e for e in _buffer(value).shape if isinstance(e, int))


def _swizzled(buffer: Any, span: int) -> ir.Layout:
    assert span in SPANS
    try:
        return swizzled(_static(buffer), _buffer(buffer).dtype.bits, span)
    except ValueError as raised:
        raise error("TD0307", here(), buffer=_buffer(buffer).name, why=str(raised)) from None
