"""Device functions that copy by tensor maps, for the GPU: one overload for each number of coordinates.

Coordinates are innermost first, as the instruction has them. Source: PTX ISA, "cp.async.bulk.tensor",
"cp.reduce.async.bulk.tensor", "cp.async.bulk.prefetch.tensor".
"""

from __future__ import annotations

from collections.abc import Sequence

REDUCTIONS = ("add", "min", "max", "and", "or", "xor")
_COMPLETES = "mbarrier::complete_tx::bytes"


def tma_functions() -> str:
    """Pieces of the device API, separated by blank lines."""
    ranks = range(1, 6)
    pieces = [
        [_load(rank, multicast=False) for rank in ranks],
        [_load(rank, multicast=True) for rank in ranks],
        [_load_im2col(rank, multicast=False) for rank in (3, 4, 5)],
        [_load_im2col(rank, multicast=True) for rank in (3, 4, 5)],
        [_store(rank, "tma_store", "cp.async.bulk.tensor", "") for rank in ranks],
        *([_reduce(rank, op) for rank in ranks] for op in REDUCTIONS),
        [_prefetch(rank) for rank in ranks],
    ]
    return "\n\n".join("\n".join(piece) for piece in pieces)


def _coordinates(rank: int) -> list[str]:
    return [f"c{i}" for i in range(rank)]


def _numbered(first: int, count: int) -> str:
    return ", ".join(f"%{first + i}" for i in range(count))


def _function(name: str, parameters: Sequence[str], ptx: str, operands: Sequence[str]) -> str:
    return (
        f"TDS_DEVICE void {name}({', '.join(parameters)}) {{\n"
        f'  asm volatile("{ptx}" ::{", ".join(operands)} : "memory");\n}}'
    )


def _load(rank: int, *, multicast: bool) -> str:
    c = _coordinates(rank)
    ptx = f"cp.async.bulk.tensor.{rank}d.shared::cluster.global.tile.{_COMPLETES}"
    parameters = ["u32 to", "const TensorMap& map", "u32 barrier", *([] if not multicast else ["u16 ranks"])]
    operands = ['"r"(to)', '"l"(&map)', '"r"(barrier)', *([] if not multicast else ['"h"(ranks)'])]
    first = len(operands)
    end = ", %3" if multicast else ""
    ptx += (".multicast::cluster" if multicast else "") + f" [%0], [%1, {{{_numbered(first, rank)}}}], [%2]{end};"
    name = "tma_load_multicast" if multicast else "tma_load"
    return _function(name, [*parameters, *(f"int {x}" for x in c)], ptx, [*operands, *(f'"r"({x})' for x in c)])


def _load_im2col(rank: int, *, multicast: bool) -> str:
    """The last rank - 2 arguments are offsets of the pixel in the filter, innermost dimension first."""
    c, offsets = _coordinates(rank), [f"o{i}" for i in range(rank - 2)]
    parameters = ["u32 to", "const TensorMap& map", "u32 barrier", *([] if not multicast else ["u16 ranks"])]
    operands = ['"r"(to)', '"l"(&map)', '"r"(barrier)', *([] if not multicast else ['"h"(ranks)'])]
    first = len(operands)
    end = ", %3" if multicast else ""
    ptx = (
        f"cp.async.bulk.tensor.{rank}d.shared::cluster.global.im2col.{_COMPLETES}"
        f"{'.multicast::cluster' if multicast else ''} "
        f"[%0], [%1, {{{_numbered(first, rank)}}}], [%2], {{{_numbered(first + rank, rank - 2)}}}{end};"
    )
    operands += [*(f'"r"({x})' for x in c), *(f'"h"({x})' for x in offsets)]
    name = "tma_load_im2col_multicast" if multicast else "tma_load_im2col"
    return _function(name, [*parameters, *(f"int {x}" for x in c), *(f"u16 {x}" for x in offsets)], ptx, operands)


def _store(rank: int, name: str, instruction: str, operation: str) -> str:
    c = _coordinates(rank)
    ptx = f"{instruction}.{rank}d.global.shared::cta{operation}.tile.bulk_group [%0, {{{_numbered(2, rank)}}}], [%1];"
    parameters = ["const TensorMap& map", "u32 from", *(f"int {x}" for x in c)]
    return _function(name, parameters, ptx, ['"l"(&map)', '"r"(from)', *(f'"r"({x})' for x in c)])


def _reduce(rank: int, operation: str) -> str:
    return _store(rank, f"tma_reduce_{operation}", "cp.reduce.async.bulk.tensor", f".{operation}")


def _prefetch(rank: int) -> str:
    c = _coordinates(rank)
    ptx = f"cp.async.bulk.prefetch.tensor.{rank}d.L2.global.tile [%0, {{{_numbered(1, rank)}}}];"
    parameters = ["const TensorMap& map", *(f"int {x}" for x in c)]
    return _function("tma_prefetch_tile", parameters, ptx, ['"l"(&map)', *(f'"r"({x})' for x in c)])
