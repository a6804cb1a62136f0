"""docs/isa.md, written from the table."""

from __future__ import annotations

from collections.abc import Sequence

from tiledsl.ir.layout import Digit, Fragment, dim_of, split_digits
from tiledsl.isa.atom import Atom
from tiledsl.isa.table import ATOMS
from tiledsl.isa.wgmma import (
    TYPES,
    accumulator,
    extent_k,
    extents_n,
    operand_a,
    row_name,
    takes_mn_major,
    wgmma_row,
    wgmma_rows,
)

_KINDS = {
    "mma": "Matrix multiply-add, d += a @ b",
    "mma_sp": "Matrix multiply-add of a sparse matrix, d += A @ b",
    "ldmatrix": "8x8 matrices from shared memory to registers",
    "stmatrix": "8x8 matrices from registers to shared memory",
    "cp_async": "Asynchronous copies from global to shared memory",
}
_DIMS = {"d": "mn", "a": "mk", "b": "kn", "e": "me"}
_HEAD = """# Instructions

Generated from the table `tiledsl/isa` by `isa/document.py`; a test keeps it current. To write it anew:

    python -c "from tiledsl.isa.document import markdown; print(markdown(), end='')" > docs/isa.md

A register operand is described by two lists of digits, most significant first: `m8 k4*2` reads the lane's number as a
digit of extent 8 that moves the row by 1 and a digit of extent 4 that moves k by 2. Lanes x registers are a bijection
with the tile; `r2` are lanes that hold the same. For ldmatrix and stmatrix q is the matrix, i and j row and column of
16-bit units as they lie in memory.
"""


def notation(f: Fragment, dims: str) -> tuple[str, str]:
    """Threads and registers of `f` as `layout.fragment` reads them."""

    def spell(digits: Sequence[Digit]) -> str:
        words = []
        for d in split_digits(digits, f.shape) or ():
            if d.stride == 0:
                words.append(f"r{d.extent}")
                continue
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
    return "\n".join([*parts, _wgmma()])


def _wgmma() -> str:
    """The rows of wgmma by families: they differ in n, and in where a comes from."""
    one = wgmma_row(row_name(64, *TYPES[0], True))
    assert one is not None
    lines = [
        "\n## Matrix multiply-add of a warpgroup, d = a @ b + d\n",
        f"{sum(1 for _ in wgmma_rows())} rows `wgmma_m64n<n>k<k>_<types>_<from>`, which `isa/wgmma.py` makes from this "
        "table when they are asked for; `<types>` are",
        "those of d, a and b, the last only where it differs from a's. b lies in shared memory, a there (`ss`) or in "
        "registers (`rs`). One of them:\n",
        f"```\n{one.name}\n{one.ptx}\n```\n",
        f"Needs `{one.feature}`. Source: {one.source}.\n",
        "| d | a | b | k | n | contiguous in shared memory along |",
        "|---|---|---|---|---|---|",
    ]
    for d, a, b in TYPES:
        along = "k, m or n" if takes_mn_major(a) else "k"
        types = " | ".join(str(t) for t in (d, a, b))
        lines.append(f"| {types} | {extent_k(a)} | {_steps(extents_n(a))} | {along} |")
    lines += ["", "| operand | tile | lanes | registers |", "|---|---|---|---|"]
    named = [("d (written), n = 256", accumulator(256))]
    named += [(f"a of {bits} bits", operand_a(bits)) for bits in (32, 16, 8)]
    for name, f in named:
        threads, regs = notation(f, "mn" if f.shape[1] == 256 else "mk")
        lines.append(f"| {name} | {' x '.join(map(str, f.shape))} | `{threads}` | `{regs}` |")
    return "\n".join(lines) + "\n"


def _steps(numbers: Sequence[int]) -> str:
    """Runs of numbers at equal distances: `8, 16, ..., 256`."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and (len(runs[-1]) == 1 or n - runs[-1][-1] == runs[-1][1] - runs[-1][0]):
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"{r[0]}, {r[1]}, ..., {r[-1]}" if len(r) > 3 else ", ".join(map(str, r)) for r in runs)


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
        threads, regs = notation(op.fragment, _DIMS[op.name] if atom.kind.startswith("mma") else "qij")
        shape = " x ".join(str(n) for n in op.fragment.shape)
        name = f"{op.name} (written)" if op.written else op.name
        lines.append(f"| {name} | {op.dtype} | {shape} | `{threads}` | `{regs}` |")
    if atom.semantics is not None and atom.semantics.__doc__:
        lines += ["", atom.semantics.__doc__.strip().splitlines()[0]]
    return "\n".join(lines) + "\n"
