"""All instructions by name, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence

from tiledsl.ir.dtypes import DType
from tiledsl.isa.atom import Atom
from tiledsl.isa.copy import COPY
from tiledsl.isa.mma import MMA
from tiledsl.isa.sparse import SPARSE
from tiledsl.isa.wgmma import wgmma_row
from tiledsl.target import Target

ATOMS: dict[str, Atom] = {atom.name: atom for atom in (*MMA, *SPARSE, *COPY)}


def atom_named(name: str) -> Atom | None:
    """The row `name`, of those of wgmma too; None if there is none."""
    return ATOMS.get(name) or wgmma_row(name)


def select(kind: str, dtypes: Sequence[DType], target: Target | None = None) -> list[Atom]:
    """The rows of `kind` for `target` (None: for any), best first: widest, then as listed.

    `dtypes` are those of the register operands in order, for mma (d, a, b); empty matches any.
    """
    return [
        atom
        for atom in ATOMS.values()
        if atom.kind == kind
        and (target is None or atom.feature in target.features)
        and (not dtypes or tuple(op.dtype for op in atom.operands) == tuple(dtypes))
    ]
