"""Single steps that make a kernel smaller, read off the fields of its nodes. They may give a kernel that is invalid.

Each family yields kernels lazily, in an order that depends on the kernel alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any, cast, get_args

from tiledsl.errors import TileError
from tiledsl.ir.dtypes import BOOL, HANDLE, DType
from tiledsl.ir.nodes import TRUE, Buffer, Const, Expr, Extent, Kernel, Launch, Let, LoopKind, Node, Raster, Stmt, Var
from tiledsl.ir.simplify import Simplifier
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import children, map_children, node_fields, replace_buffers, substitute, walk

Path = tuple[tuple[str, int | None], ...]  # from the kernel down: field, and position where it is a tuple
OPTIONS = (*get_args(LoopKind), Raster)  # values of fields that have fields, and are no nodes
Family = Callable[[Kernel], Iterator[Kernel]]


def sites(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every node below `node` with the way to it, parents first."""
    for name in node_fields(type(node)):
        value = getattr(node, name)
        if isinstance(value, Node):
            below = (*path, (name, None))
            yield below, value
            yield from sites(value, below)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                if isinstance(item, Node):
                    below = (*path, (name, i))
                    yield below, item
                    yield from sites(item, below)


def put(node: Any, path: Path, new: Any) -> Any:
    """`node` with what is at `path` replaced; a tuple is spliced into the tuple there."""
    (name, i), rest = path[0], path[1:]
    old = getattr(node, name)
    child = old if i is None else old[i]
    made = put(child, rest, new) if rest else new
    if i is not None:
        made = (*old[:i], *(made if isinstance(made, tuple) else (made,)), *old[i + 1 :])
    return replace(node, **{name: made})


# --------------------------------------------------------------------------------------------------- less of a list


def deletions(kernel: Kernel) -> Iterator[Kernel]:
    """Without some neighbours of a block or a table: halves first, single ones last."""
    lists = [(path, name, value) for path, name, value in _lists(kernel)]
    size = max((len(value) for _, _, value in lists), default=0)
    while size:
        for path, name, value in lists:
            for start in range(0, len(value) if size <= len(value) else 0, size):
                kept = value[:start] + value[start + size :]
                yield _with(kernel, path, name, kept)
        size //= 2


def _lists(kernel: Kernel) -> Iterator[tuple[Path, str, tuple[Any, ...]]]:
    """Tuples of nodes that are no operands: blocks, parameters, tables."""
    for path, node in (((), kernel), *sites(kernel)):
        for name in node_fields(type(node)):
            value = getattr(node, name)
            operand = isinstance(node, Expr) or (isinstance(value, tuple) and value and isinstance(value[0], Expr))
            if isinstance(value, tuple) and value and (not operand or isinstance(node, Kernel)):
                yield path, name, value


def _with(kernel: Kernel, path: Path, name: str, value: object) -> Kernel:
    if not path:
        return replace(kernel, **{name: value})  # type: ignore[arg-type]
    node = _at(kernel, path)
    return cast(Kernel, put(kernel, path, replace(node, **{name: value})))


def _at(node: Any, path: Path) -> Any:
    for name, i in path:
        node = getattr(node, name) if i is None else getattr(node, name)[i]
    return node


def without_leaf(kernel: Kernel) -> Iterator[Kernel]:
    """Without a variable or buffer, and all statements and rows of tables that mention it."""
    for leaf in _leaves(kernel):
        yield cast(Kernel, _dropped(kernel, leaf))


def _dropped(node: Node, leaf: Node) -> Node | tuple[Node, ...]:
    removable = not isinstance(node, (Kernel, Launch, Expr))
    direct = [c for c in children(node) if not isinstance(c, Stmt)]
    if node is leaf or (removable and any(n is leaf for c in direct for n in walk(c))):
        return ()
    if isinstance(node, (Kernel, Launch)) or any(isinstance(c, Stmt) for c in children(node)):
        return map_children(node, lambda n: n if isinstance(n, Expr) and n is not leaf else _dropped(n, leaf))
    return node


def _leaves(kernel: Kernel) -> list[Var | Buffer]:
    return list(dict.fromkeys(n for n in walk(kernel) if isinstance(n, (Var, Buffer))))


# -------------------------------------------------------------------------------------------------- less of a tree


def unwrapped(kernel: Kernel) -> Iterator[Kernel]:
    """A statement replaced by a block inside it, what it binds by 0; a bind by its value."""
    for path, node in sites(kernel):
        if not isinstance(node, Stmt):
            continue
        if isinstance(node, Let):
            yield substitute(put(kernel, path, ()), {node.var: node.value})
        for name in node_fields(type(node)):
            block = getattr(node, name)
            if isinstance(block, tuple) and block and isinstance(block[0], Stmt):
                bound = {v: Const(0, v.dtype) for v in _bound(node)}
                yield put(kernel, path, tuple(substitute(s, bound) for s in block))


def _bound(node: Stmt) -> list[Var]:
    """The variables in fields that hold nothing else: what the statement binds."""
    values = [getattr(node, name) for name in node_fields(type(node))]
    return [v for value in values for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, Var)]


def smaller_expressions(kernel: Kernel) -> Iterator[Kernel]:
    """An expression replaced by 0, false or true, by 1, or by a part of it of the same dtype."""
    for path, node in sites(kernel):
        if not isinstance(node, Expr) or (isinstance(node, Const) and not _number(node)):
            continue
        dtype = _dtype(node)
        if dtype is None or dtype is HANDLE:
            continue
        for value in _constants(dtype):
            if value != node:
                yield put(kernel, path, value)
        for part in list(walk(node))[1:]:
            if isinstance(part, Expr) and _dtype(part) is dtype:
                yield put(kernel, path, part)


def _constants(dtype: DType) -> tuple[Const, ...]:
    if dtype is BOOL:
        return (TRUE, Const(False, BOOL))
    return (Const(0.0, dtype), Const(1.0, dtype)) if dtype.is_float else (Const(0, dtype), Const(1, dtype))


def _number(c: Const) -> bool:
    return bool(c.value != 0)


def _dtype(e: Expr) -> DType | None:
    try:
        return dtype_of(e)
    except (TileError, TypeError, KeyError):
        return None


def defaults(kernel: Kernel) -> Iterator[Kernel]:
    """A field that has a default set to it: the kind of a loop, a version, an option of a statement, a table."""
    for path, node in (((), kernel), *sites(kernel)):
        if isinstance(node, (Var, Buffer)):
            continue
        for f in fields(cast(Any, node)):
            value = getattr(node, f.name)
            if f.compare and f.default is not MISSING and value != f.default:
                yield _with(kernel, path, f.name, f.default)
            if isinstance(value, OPTIONS):
                for inner in fields(value):
                    if inner.default is not MISSING and getattr(value, inner.name) != inner.default:
                        yield _with(kernel, path, f.name, replace(value, **{inner.name: inner.default}))


# ------------------------------------------------------------------------------------------------- smaller numbers


def smaller_everywhere(kernel: Kernel) -> Iterator[Kernel]:
    """A number that is an extent somewhere replaced wherever it stands, by 1 or its half: tiles keep fitting."""
    numbers = {n for node in walk(kernel) for n in _extents(node)}
    for number in sorted(numbers, reverse=True):
        for less in dict.fromkeys((1, number // 2)):
            if 0 < less < number:
                yield _renumbered(kernel, {number: less})


def _extents(node: Node) -> Iterator[int]:
    for f in fields(cast(Any, node)):
        for value in _each(getattr(node, f.name)):
            if type(value) is int and value > 1:
                yield value
            elif isinstance(value, Const) and type(value.value) is int and value.value > 1:
                yield value.value


def _each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _renumbered(kernel: Kernel, numbers: Mapping[int, int]) -> Kernel:
    def other(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(other, value))
        return numbers.get(value, value) if type(value) is int else value

    def changed(node: Any) -> Any:
        changes = {}
        for f in fields(node):
            if f.compare and f.name not in ("value",) and other(getattr(node, f.name)) != getattr(node, f.name):
                changes[f.name] = other(getattr(node, f.name))
        return replace(node, **changes) if changes else node

    def rule(node: Node) -> Node:
        if isinstance(node, (Var, Buffer)):
            return node
        if isinstance(node, Const):
            return replace(node, value=other(node.value))
        return cast(Node, changed(map_children(node, rule)))

    made = cast(Kernel, rule(kernel))
    buffers = {b: changed(b) for b in _leaves(kernel) if isinstance(b, Buffer)}
    return replace_buffers(made, {b: new for b, new in buffers.items() if new is not b})


def smaller_numbers(kernel: Kernel) -> Iterator[Kernel]:
    """One number in one place: 1, its half, or one less."""
    for path, node in (((), kernel), *sites(kernel)):
        if isinstance(node, (Var, Buffer)):
            continue
        for f in fields(cast(Any, node)):
            if f.compare:
                for value in _less(getattr(node, f.name), f):
                    yield _with(kernel, path, f.name, value)
    for b in _leaves(kernel):
        if isinstance(b, Buffer):
            for f in fields(cast(Any, b)):
                for value in _less(getattr(b, f.name), f):
                    yield replace_buffers(kernel, {b: replace(b, **{f.name: value})})


def _less(value: Any, f: Field[Any]) -> Iterator[Any]:
    if type(value) is int:
        least = 0 if f.name in ("value", "offset", "shared_bytes", "id", "pending") else 1
        yield from (n for n in dict.fromkeys((least, value // 2, value - 1)) if least <= n < value)
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            if type(item) is int:
                yield from ((*value[:i], n, *value[i + 1 :]) for n in _less(item, f))


def fewer_dimensions(kernel: Kernel) -> Iterator[Kernel]:
    """A buffer without one of its dimensions, and all that addresses it without that index."""
    for b in _leaves(kernel):
        if not isinstance(b, Buffer) or len(b.shape) < 2:
            continue
        for d in range(len(b.shape)):
            yield _without_dimension(kernel, b, d)


def _without_dimension(kernel: Kernel, b: Buffer, d: int) -> Kernel:
    def cut(value: Any) -> Any:
        full = isinstance(value, tuple) and len(value) == len(b.shape)
        return value[:d] + value[d + 1 :] if full else value

    def rule(node: Any) -> Any:
        if isinstance(node, (Var, Buffer)):
            return node
        made = map_children(node, rule)
        if getattr(node, "buffer", None) is not b:
            return made
        return replace(made, **{f.name: cut(getattr(made, f.name)) for f in fields(made)})

    lower = replace(b, shape=cut(b.shape), strides=cut(b.strides))
    return replace_buffers(cast(Kernel, rule(kernel)), {b: lower})


def fewer_axes(kernel: Kernel) -> Iterator[Kernel]:
    """A box of loops or a grid without one of its axes, whose variable is 0: fields that count its axes together."""
    for path, node in sites(kernel):
        tuples = {n: v for n in node_fields(type(node)) if isinstance(v := getattr(node, n), tuple)}
        for variables in (v for v in tuples.values() if v and all(isinstance(x, Var) for x in v)):
            counted = {f.name: getattr(node, f.name) for f in fields(cast(Any, node))}
            counted = {n: v for n, v in counted.items() if isinstance(v, tuple) and len(v) == len(variables)}
            counted = {n: v for n, v in counted.items() if not any(isinstance(x, (Stmt, Buffer)) for x in v)}
            for d in range(len(variables) if len(variables) > 1 else 0):
                less = replace(cast(Any, node), **{n: v[:d] + v[d + 1 :] for n, v in counted.items()})
                yield put(kernel, path, substitute(less, {variables[d]: Const(0, variables[d].dtype)}))


def static_sizes(kernel: Kernel) -> Iterator[Kernel]:
    """A dynamic size that is a constant."""
    for size in kernel.sizes:
        for number in (1, 16, 64, 128):
            value = Const(number, size.dtype)
            buffers = {b: _sized(b, size, value) for b in _leaves(kernel) if isinstance(b, Buffer)}
            made = replace(kernel, sizes=tuple(v for v in kernel.sizes if v is not size))
            changed = {b: new for b, new in buffers.items() if new is not b}
            yield substitute(replace_buffers(made, changed), {size: value})


def _sized(b: Buffer, size: Var, value: Const) -> Buffer:
    def extent(e: Extent) -> Extent:
        if isinstance(e, int) or size not in walk(e):
            return e
        found = Simplifier({}).simplify(substitute(e, {size: value}))
        return int(found.value) if isinstance(found, Const) else found

    shape = tuple(map(extent, b.shape))
    strides = None if b.strides is None else tuple(map(extent, b.strides))
    return b if (shape, strides) == (b.shape, b.strides) else replace(b, shape=shape, strides=strides)


FAMILIES: tuple[Family, ...] = (
    deletions,
    without_leaf,
    unwrapped,
    static_sizes,
    smaller_everywhere,
    smaller_expressions,
    defaults,
    fewer_dimensions,
    fewer_axes,
    smaller_numbers,
)
