"""The device functions for the GPU: which pieces of the preludes (`*.cuh`) a kernel needs, in the order of the files.

A piece is a paragraph of these files, separated by blank lines; it may define several functions. Pieces before the line
`// ---- pieces` belong to every kernel. A piece needs the pieces that define the names it mentions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tiledsl.codegen.atoms import BANKED, device_function
from tiledsl.codegen.paired import paired_functions
from tiledsl.codegen.rounded import rounded_functions
from tiledsl.codegen.tma import tma_functions
from tiledsl.isa.table import ATOMS, atom_named

# Names that a piece defines: functions, and types. A definition starts at the beginning of a line, after its template.
_DEFINES = re.compile(
    r"^(?:template <[^\n]*?>\s*)?(?:TDS_DEVICE [\w:<>*& ]*?[ *&](\w+)\(|(?:struct|union) (\w+)|extern .* (\w+)\[\];)",
    re.MULTILINE,
)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive definitions of the device API; `mentions` are the words of its text."""

    text: str
    defines: frozenset[str]
    mentions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Api:
    """`core` opens namespace `tds`; the pieces come after it, in order."""

    core: str
    pieces: tuple[Piece, ...]


@cache
def api() -> Api:
    """The device API of the GPU, without the functions of instruction rows."""
    prelude = (resources.files("tiledsl.codegen") / "prelude.cuh").read_text()
    portable = (resources.files("tiledsl.isa") / "portable.cuh").read_text()
    core, _, pieces = prelude.partition("// ---- pieces\n")
    _, _, shared = portable.partition("// ---- pieces\n")
    hopper = (resources.files("tiledsl.codegen") / "prelude_hopper.cuh").read_text().partition("// ---- pieces\n")[2]
    generated = [rounded_functions(), paired_functions(), tma_functions()]
    text = "\n\n".join([pieces.replace("// ---- portable\n", shared).strip(), hopper.strip(), *generated])
    return Api(core, tuple(_piece(t) for t in re.split(r"\n{2,}", text)))


def _piece(text: str) -> Piece:
    defines = frozenset(a or b or c for a, b, c in _DEFINES.findall(text))
    return Piece(text, defines, frozenset(_WORD.findall(text)))


@cache
def device_functions(names: tuple[str, ...]) -> str:
    """The text that defines `names` and all they need, in namespace `tds`, for NVRTC."""
    parts = [p.text for p in needed(names)] + [text for text in map(_of_row, names) if text]
    return "\n\n".join([f"{api().core}namespace tds {{", *parts, "}  // namespace tds\n"])


def _of_row(name: str) -> str:
    """The function of that name of an instruction's row; empty if it is no such function."""
    row = atom_named(name.removesuffix(BANKED))
    return device_function(row, banked=name.endswith(BANKED)) if row is not None else ""


def needed(names: Iterable[str]) -> list[Piece]:
    """The pieces that define `names`, directly or through each other, in the order of the files."""
    wanted, chosen = set(names), [False] * len(api().pieces)
    # Definitions precede their uses, so one sweep from the end finds everything.
    for i, piece in reversed(list(enumerate(api().pieces))):
        if piece.defines & wanted:
            chosen[i] = True
            wanted |= piece.mentions
    return [p for p, c in zip(api().pieces, chosen) if c]


def names() -> frozenset[str]:
    """Every function and type of the device API but those of instruction rows."""
    return frozenset().union(*(p.defines for p in api().pieces))


def everything() -> str:
    """The whole device API with the functions of all instruction rows, as one text."""
    return device_functions(tuple(sorted(names() | ATOMS.keys())))


def functions_in(text: str) -> tuple[str, ...]:
    """What a kernel text written by hand uses of the device API: its words after `tds::`."""
    return tuple(
        sorted({w for w in re.findall(r"\btds::(\w+)", text) if w in names() or atom_named(w.removesuffix(BANKED))})
    )
