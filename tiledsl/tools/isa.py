"""`tiledsl isa`: the instruction table."""

from __future__ import annotations

import argparse

from tiledsl.errors import error
from tiledsl.ir.literals import layout_text
from tiledsl.isa.atom import Atom
from tiledsl.isa.table import ATOMS, atom_named
from tiledsl.target import target_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="one instruction in full; also one of wgmma, which the list leaves out")
    parser.add_argument("--target", help="only those that this GPU has")


def run(args: argparse.Namespace) -> None:
    if args.name is not None:
        found = atom_named(args.name)
        if found is None:
            raise error("TD0717", name=args.name, known=", ".join(ATOMS))
        print(details(found))
        return
    target = target_named(args.target) if args.target else None
    rows = [a for a in ATOMS.values() if target is None or a.feature in target.features]
    print(table(rows))


def operands(atom: Atom) -> str:
    """As in `d float32[16, 8], a float16[16, 16]`."""
    return ", ".join(f"{o.name} {o.dtype}{list(o.fragment.shape)}" for o in atom.operands)


def table(atoms: list[Atom]) -> str:
    """One line an instruction, in columns."""
    rows = [("name", "kind", "needs", "operands"), *((a.name, a.kind, a.feature, operands(a)) for a in atoms)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(row, widths)), row[3]]).rstrip() for row in rows)


def details(atom: Atom) -> str:
    """The whole row, with the layout of each operand."""
    lines = [
        f"{atom.name}: {atom.kind}, executed by {atom.threads} thread(s) together, needs {atom.feature}",
        f"  completion: {atom.completion.value}, proxy: {atom.proxy.value}",
        *(f"  {o.name}: {o.dtype}, {layout_text(o.fragment)}{', written' if o.written else ''}" for o in atom.operands),
        f"  source: {atom.source}",
        "  PTX:",
        *(f"    {line}" for line in atom.ptx.strip().splitlines()),
    ]
    return "\n".join(lines)
