"""Tiles that no copy engine can bring, but the threads of a producer may: what `warps.py` multiplies, among others."""

from __future__ import annotations

from collections.abc import Callable

from tiledsl.ir.dtypes import FLOAT16, INDEX, INT32
from tiledsl.ir.nodes import Binary, Buffer, Cast, Const, Expr, Load, Select, Space, Stmt, Store, Var, lt, static_shape
from tiledsl.ir.tile import Copy, Fill, Parallel
from tiledsl.testing.strategies.warp_places import ENTRIES, Places, block, whole


class Fills(Places):
    """Draws statements that fill a tile of float16 with what belongs to block `number` of some tensor."""

    def fill_by_threads(self, tile: Buffer, number: Expr) -> Stmt:
        made: tuple[Callable[[Buffer, Expr], Stmt], ...] = (
            self.copied_apart,
            self.element_by_element,
            self.half_filled,
        )
        return self.pick((made[0], made[0], made[1], made[1], made[1], made[2]))(tile, number)  # type: ignore[no-any-return]

    def copied_apart(self, tile: Buffer, number: Expr) -> Stmt:
        """Rows that are not aligned, or numbers of another type."""
        return Copy(block(self.pick((self.odd, self.other)), number, static_shape(tile)), whole(tile))

    def element_by_element(self, tile: Buffer, number: Expr) -> Stmt:
        x, y = Var("x"), Var("y")
        return Parallel((x, y), static_shape(tile), (Store(tile, (x, y), self.element(number * 4 + x, x, y)),))

    def half_filled(self, tile: Buffer, number: Expr) -> Stmt:
        """The rest of the tile keeps what it has from before the loop."""
        x, y = Var("x"), Var("y")
        rows, columns = static_shape(tile)
        self.at_top.append(Fill(whole(tile), Const(0.0, FLOAT16)))
        add = Load(self.matrix, (number * 4 + x, y))
        return Parallel((x, y), (rows, columns // 2), (Store(tile, (x, y * 2), add),))

    def element(self, row: Expr, x: Var, y: Var) -> Expr:
        plain = Load(self.matrix, (row, y))
        entry = Binary("%", x, Const(ENTRIES))
        match self.pick(("gathered", "gathered", "turned", "scaled", "masked", "from registers", "from shared memory")):
            case "gathered":
                return Load(self.matrix, (self.entry(Binary("%", row, Const(ENTRIES))), y))
            case "turned":
                return Load(self.matrix, (y, row))
            case "scaled":
                return Binary("min", plain + plain, Const(2.0, FLOAT16))
            case "masked":
                return Select(lt(y, row), plain, Const(self.pick((0.0, 1.0)), FLOAT16))
            case "from registers":  # which hold it since before the loop
                return Select(lt(Load(self.copied_table(), (entry,)), Const(2, INT32)), plain, plain + plain)
        known = self.filled("known", (ENTRIES,), INT32, Space.SHARED)  # to those who compute
        return Load(self.matrix, (row + Cast(INDEX, Load(known, (entry,))), y))
