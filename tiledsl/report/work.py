"""What a launch computes: operations of tensor cores and of ordinary ones, by dtype; what warps do together.

Counted from the thread stage: what threads really execute, computations that several threads repeat counted for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tiledsl.ir.concurrent import ClusterBarrier
from tiledsl.ir.nodes import AtomCall, Barrier, Binary, Call, Launch, Stmt, Var
from tiledsl.ir.ops import DIRECTIONS, FUNCTIONS, Effect
from tiledsl.ir.types import dtype_of
from tiledsl.isa.table import atom_named
from tiledsl.report.visit import Visit, expressions, walk

_ARITHMETIC = frozenset({"+", "-", "*", "/", "min", "max"})
_DIRECTED = {f"{n}_{d}" for n in ("add", "sub", "mul", "div") for d in DIRECTIONS}
_ONE_OPERATION = frozenset({"abs", "min", "max", "floor", "ceil", "trunc", "round", *_DIRECTED})
_TWO_OPERATIONS = frozenset({"fma", *(f"fma_{d}" for d in DIRECTIONS)})


@dataclass(frozen=True)
class Collective:
    """`requests` warps performed `op` (shuffle, vote, barrier, an mma's name) in that line, each time counted."""

    op: str
    file: str
    line: int
    requests: int
    exact: bool


@dataclass(frozen=True)
class Work:
    """Of all threads, blocks and iterations that are known.

    `tensor` and `arithmetic` are floating-point operations by dtype (a multiply-add is two; of integers for int8);
    `special` counts calls of functions such as exp2, one for each thread. `exact` as in `Access`.
    """

    tensor: dict[str, int]
    arithmetic: dict[str, int]
    special: int
    collectives: tuple[Collective, ...]
    exact: bool

    @property
    def operations(self) -> int:
        return sum(self.tensor.values()) + sum(self.arithmetic.values()) + self.special

    @property
    def tensor_instructions(self) -> int:
        """How many warps executed an mma, each time counted."""
        return sum(c.requests for c in self.collectives if c.op.startswith(("mma_", "wgmma_")))


def work(launch: Launch, numbers: Mapping[Var, int] | None = None, *, every: bool = False) -> Work:
    """The work of a launch; `numbers` and `every` as in `accesses`."""
    tensor: Counter[str] = Counter()
    arithmetic: Counter[str] = Counter()
    special = 0
    exact = True
    rows: dict[tuple[str, str, int], Collective] = {}
    for s, visit in walk(launch, numbers or {}, every):
        counts = Counter(_operations(s))
        together = list(_collectives(s))
        if not counts and not together:
            continue
        threads, certain = visit.times()
        exact = exact and certain
        for (kind, dtype), count in counts.items():
            if kind == "special":
                special += count * threads
            else:
                arithmetic[dtype] += count * threads
        for op in together:
            row = _row(op, s, visit, rows)
            rows[op, s.span.file, s.span.line] = row
        if isinstance(s, AtomCall):
            dtype, operations = _of_atom(s.atom)
            if operations:
                tensor[dtype] += operations * threads
    return Work(dict(tensor), dict(arithmetic), special, tuple(rows.values()), exact)


def _row(op: str, s: Stmt, visit: Visit, rows: Mapping[tuple[str, str, int], Collective]) -> Collective:
    on, certain = visit.active()
    warps = int((on.any(axis=1, keepdims=True) * visit.domain.weights((on.shape[0], 1, *on.shape[2:]))).sum())
    before = rows.get((op, s.span.file, s.span.line))
    known = certain and (before is None or before.exact)
    return Collective(op, s.span.file, s.span.line, warps + (before.requests if before else 0), known)


def _of_atom(name: str) -> tuple[str, int]:
    """The dtype of A, and the operations of one thread's share; 0 for what is no matrix product."""
    row = atom_named(name)
    if row is None or row.kind not in ("mma", "mma_sp", "wgmma"):
        return "", 0
    m, n, k, dtype = _shape(name)
    return dtype, 2 * m * n * k // row.threads


def _shape(name: str) -> tuple[int, int, int, str]:
    row = atom_named(name)
    assert row is not None
    operands = {o.name: o for o in row.operands}
    m, n = operands["d"].fragment.shape
    if row.kind == "wgmma":
        from tiledsl.isa.wgmma import extent_k, wgmma_dtypes

        a = wgmma_dtypes(row)[1]
        return m, n, extent_k(a), a.name
    return m, n, operands["a"].fragment.shape[1], operands["a"].dtype.name


def _collectives(s: Stmt) -> Iterator[str]:
    """What the statement makes whole warps do together, loads and stores of matrices left out."""
    if isinstance(s, Barrier):
        yield "barrier"
    elif isinstance(s, ClusterBarrier):
        yield "barrier of the cluster"
    elif isinstance(s, AtomCall) and _of_atom(s.atom)[1]:
        yield s.atom
    for e in expressions(s):
        if isinstance(e, Call) and FUNCTIONS[e.fn].effect is Effect.COLLECTIVE:
            yield "shuffle" if e.fn.startswith("shfl_") or e.fn == "warp_uniform" else "vote"


def _operations(s: Stmt) -> Iterator[tuple[str, str]]:
    """Kind (arithmetic, special) and dtype of each floating-point operation of the statement, without its blocks."""
    for e in expressions(s):
        match e:
            case Binary(op, a, _) if op in _ARITHMETIC and dtype_of(a).is_float:
                yield "arithmetic", dtype_of(a).name
            case Call(fn, args) if fn in _TWO_OPERATIONS and dtype_of(args[0]).is_float:
                yield "arithmetic", dtype_of(args[0]).name
                yield "arithmetic", dtype_of(args[0]).name
            case Call(fn, args) if args and dtype_of(args[0]).is_float and FUNCTIONS[fn].effect is Effect.PURE:
                yield "arithmetic" if fn in _ONE_OPERATION else "special", dtype_of(args[0]).name
