"""docs/isa.md, written from the table."""

from __future__ import annotations

from collections.abc import Sequence

from tiledsl.ir.layout import Digit, Fragment, dim_of, split_digits
from tiledsl.isa.atom import Atom
from tiledsl.isa.table import ATOMS

_KINDS = {
    "mma": "Matrix multiply-add, d += a @ b",
    "ldmatrix": "8x8 matrices from shared memory to registers",
    "stmatrix": "8x8 matrices from registers to shared memory",
    "cp_async": "Asynchronous copies from global to shared memory",
}
_DIMS = {"d": "mn", "a": "mk", "b": "kn"}
_HEAD = """# Instructions

Generated from the table `tiledsl/isa` by `isa/document.py`; a test keeps it current. To write it anew:

    python -c "from tiledsl.isa.document import markdown; print(markdown(), end='')" > docs/isa.md

A register operand is described by two lists of digits, most significant first: `m8 k4*2` reads the lane's number as a
digit of extent 8 that moves the row by 1 and a digit of extent 4 that moves k by 2. Lanes x registers are a bijection
with the tile. For ldmatrix and stmatrix q is the matrix, i and j row and column of 16-bit units as they lie in memory.
"""


def notation(f: Fragment, dims: str) -> tuple[str, str]:
    """Threads and registers of `f` as `layout.fragment` reads them."""

    def spell(digits: Sequence[Digit]) -> str:
        words = []
        for d in split_digits(digits, f.shape) or ():
            dim, step = dim_of(d, f.shape)
            words.append(f"{dims[dim]}{d.extent}" + (f"*{step}" if step != 1 else ""))
        return " ".join(words)

    return spell(f.threads), spell(f.regs)


def markdown() -> str:
    """The text of docs/isa.md."""
    parts = [_HEAD]
    for kind, title in _KINDS.items():
        parts.append(f"\n## {title}\n")
        for atom in ATOMS.values():
            if atom.kind == kind:
                parts.append(_section(atom))
    return "\n".join(parts)


def _section(atom: Atom) -> str:
    lines = [
        f"### `{atom.name}`",
        "",
        "```",
        atom.ptx,
        "```",
        "",
        f"Needs `{atom.feature}`. Source: {atom.source}.",
        "",
    ]
    if atom.operands:
        lines += ["| operand | dtype | tile | lanes | registers |", "|---|---|---|---|---|"]
    for op in atom.operands:
        threads, regs = notation(op.fragment, _DIMS[op.name] if atom.kind == "mma" else "qij")
        shape = " x ".join(str(n) for n in op.fragment.shape)
        name = f"{op.name} (written)" if op.written else op.name
        lines.append(f"| {name} | {op.dtype} | {shape} | `{threads}` | `{regs}` |")
    if atom.semantics is not None and atom.semantics.__doc__:
        lines += ["", atom.semantics.__doc__.strip().splitlines()[0]]
    return "\n".join(lines) + "\n"
