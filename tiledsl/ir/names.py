"""Names for variables and buffers in printed text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count

from tiledsl.ir.dtypes import DTYPES
from tiledsl.ir.nodes import Buffer, Var

# Words of the grammar that stand where a name may stand; no variable or buffer gets such a name.
_WORDS = """
    kernel launch threads cluster raster min_blocks registers shared_bytes scratch source layout safe slot why at of in
    let alloc view async for while break continue if else evaluate atomic_update barrier cluster_barrier async_commit
    async_wait await arrive expect init_barrier named_sync named_arrive fence hold settle set_registers roles role on
    bulk tensor_copy bulk_move descriptor dependency entry flags overlapping persist pointers
    atom move print assert assume copy fill gemm sparse reduce scan atomic transpose im2col parallel
    cast bits handover select extern true false and or not strides versions fragment shared
    serial unrolled vectorized pipelined persistent
"""
KEYWORDS = frozenset(_WORDS.split()).union(DTYPES)


class Names:
    """A unique ASCII identifier for each variable and buffer: its hint, with a number appended if that is taken.

    Which names come out depends only on the order of the questions, never on identities or hash seeds.
    """

    def __init__(self, reserved: Iterable[str] = KEYWORDS) -> None:
        self._taken = set(reserved)
        self._chosen: dict[Var | Buffer, str] = {}
        self._next: dict[str, int] = {}

    def of(self, node: Var | Buffer) -> str:
        """The name of `node`, the same at every call."""
        if node not in self._chosen:
            self._chosen[node] = self.new(node.name)
        return self._chosen[node]

    def new(self, hint: str) -> str:
        """A name that this object has never returned and that is not reserved."""
        base = re.sub(r"[^0-9A-Za-z_]", "_", hint)
        if not base or base[0].isdigit():
            base = f"_{base}"
        name = base
        if name in self._taken:
            name, self._next[base] = next(
                (f"{base}_{n}", n + 1) for n in count(self._next.get(base, 1)) if f"{base}_{n}" not in self._taken
            )
        self._taken.add(name)
        return name
