"""Objects that deal tiles to blocks which stay: T.Persistent in steps, for loops that the user writes."""

from __future__ import annotations

from math import prod
from typing import Any

from tiledsl.frontend.loopspecs import Tiles
from tiledsl.frontend.proxies import Scalar, Variable, dependencies, index_of, operand
from tiledsl.frontend.tensors import size_of
from tiledsl.frontend.tracer import tracer_of
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import Const, Expr
from tiledsl.language.arguments import whole, wrong
from tiledsl.language.macros import meta_class
from tiledsl.language.memory import alloc_var
from tiledsl.language.scalars import ceildiv

_WORD = "T.PersistentTileScheduler"


@meta_class
class BaseTileScheduler:
    """A place in an order of tiles, for a class of the user's own: `class Mine(T.BaseTileScheduler):`.

    It has the variables `linear_idx`, the number of the tile in the order, `m_idx` and `n_idx`, the tile, and
    `current_iter`, how many came before it in this block. `init(n)` begins with tile n, `next_tile(step)` goes on,
    `valid()` says whether there is such a tile. The class decides which tile has a number, in
    `update_current_idx(linear_idx)`, which stores `m_idx` and `n_idx`, and how many there are: `_total_tiles`. It is a
    T.meta_class too. With `stateful=False` there are no variables. Raises TileError TD0226.
    """

    m_idx: Variable
    n_idx: Variable
    linear_idx: Variable
    current_iter: Variable

    def __init__(self, prefix: str, stateful: bool = True) -> None:
        self._total_tiles: Any = 0
        self._stateful = stateful
        if stateful:
            self.m_idx = _variable(prefix, "m_idx")
            self.n_idx = _variable(prefix, "n_idx")
            self.linear_idx = _variable(prefix, "linear_idx")
            self.current_iter = _variable(prefix, "current_iter")

    def update_current_idx(self, linear_idx: Any) -> None:
        raise wrong("T.BaseTileScheduler", "update_current_idx", "of no class", "a method of the class derived from it")

    def init(self, linear_init: Any) -> None:
        _with_state(self._stateful, "init")
        self.current_iter[0] = 0
        self.linear_idx[0] = linear_init
        self.update_current_idx(self.linear_idx[0])

    def next_tile(self, step: Any) -> None:
        _with_state(self._stateful, "next_tile")
        self.current_iter[0] = self.current_iter[0] + 1
        self.linear_idx[0] = self.linear_idx[0] + step
        self.update_current_idx(self.linear_idx[0])

    def valid(self) -> Any:
        _with_state(self._stateful, "valid")
        return self.linear_idx[0] < self._total_tiles


@meta_class
class PersistentTileScheduler(BaseTileScheduler):
    """The tiles of a matrix, dealt to blocks that stay: what T.Persistent does, as an object with steps.

    `s = T.PersistentTileScheduler("s", M // 64, N // 64, swizzle_size=8)`, `s.init(block)`,
    `while s.valid(): ...; s.next_tile()`: the tile is `s.m_idx`, `s.n_idx` (int32; with `[0]` too), and
    `s.current_iter` the number of those before it. Worker w of `num_workers` (None: the blocks of the launch, or its
    clusters) gets tiles w, w + num_workers, ... of an order in which m varies first; with `column_major=False`, n.
    Beside each m come `swizzle_size` n before the next m, so that tiles that are worked on together share the L2 cache.
    With `cluster_size` c, `m_idx` counts rows of clusters: block rank r has row `m_idx * c + r`. With `stateful=False`
    there is only `s.coord(number)`, the tile of a number; of a number beyond the last one m or n is beyond the matrix.
    Counts are ints or sizes of the call, the others Python's. Raises TileError TD0226. The order is that of TileLang.
    """

    def __init__(
        self,
        prefix: str,
        num_m_tiles: Any,
        num_n_tiles: Any,
        num_workers: Any = None,
        swizzle_size: int = 1,
        column_major: bool = True,
        cluster_size: int = 1,
        stateful: bool = True,
    ) -> None:
        super().__init__(prefix, stateful)
        whole(_WORD, "swizzle_size", swizzle_size, 1)
        whole(_WORD, "cluster_size", cluster_size, 1)
        rows, columns = ceildiv(num_m_tiles, cluster_size), num_n_tiles
        self._column_major = column_major
        self._sizes = (rows, columns) if column_major else (columns, rows)
        self._total_tiles = rows * columns
        self.cluster_size = cluster_size
        self.swizzle_size = swizzle_size
        self.num_workers = _workers(cluster_size) if num_workers is None else num_workers

    def coord(self, tile_id: Any) -> tuple[Any, Any]:
        first, second = _tile(self._sizes, self.swizzle_size, tile_id)
        return (first, second) if self._column_major else (second, first)

    def update_current_idx(self, linear_idx: Any) -> None:
        m, n = self.coord(linear_idx)
        self.m_idx[0] = m
        self.n_idx[0] = n

    def next_tile(self, step: Any = None) -> None:
        super().next_tile(self.num_workers if step is None else step)


def _tile(sizes: tuple[Any, Any], group: int, number: Any) -> list[Scalar]:
    """Which tile has a number, by the order of T.Persistent. A number beyond the last one gives no other tile."""
    given = [operand(v) for v in (*sizes, number)]
    *box, at = (index_of(v, "a number of tiles") for v in given)
    frame, reads = dependencies([v for v in given if isinstance(v, Scalar)])
    found = Tiles(tuple(box), Const(1), Const(0), group).coordinates(at, inside=False)
    return [Scalar(e, INDEX, frame, reads) for e in found]


def _workers(cluster: int) -> Any:
    grid: tuple[Expr, ...] = tracer_of(_WORD).launch(_WORD).grid
    blocks = prod(size_of(int(e.value) if isinstance(e, Const) else e) for e in grid)
    return blocks // cluster


def _variable(prefix: str, name: str) -> Variable:
    tracer_of(_WORD).hint((f"{prefix}_{name}",))
    return alloc_var("int32")


def _with_state(stateful: bool, method: str) -> None:
    if not stateful:
        raise wrong(
            _WORD, "stateful", "False", f"True where .{method}() is called; without variables there is .coord(n)"
        )
