"""An instruction is one row of data; inference, emitter, CPU executions, verifiers and docs all read that row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tiledsl.ir.dtypes import DType
from tiledsl.ir.layout import Fragment

# The kinds that a user may write on tiles: they are done when the next statement runs, and touch no memory but rows of
# tiles that they read.
OF_TILES = ("mma", "ldmatrix")


class Completion(Enum):
    """When the effect of an instruction is there."""

    SYNC = "sync"  # when the next statement runs
    COMMIT_GROUP = "commit_group"  # cp.async: after AsyncCommit and AsyncWait
    WGMMA_GROUP = "wgmma_group"
    MBARRIER_BYTES = "mbarrier_bytes"


class Proxy(Enum):
    """How an instruction reaches memory. Between the two a fence.proxy.async is needed."""

    GENERIC = "generic"
    ASYNC = "async"


@dataclass(frozen=True, slots=True)
class Operand:
    """A register operand: the fragment of the tile that all threads of the instruction hold together."""

    name: str
    dtype: DType
    fragment: Fragment
    written: bool = False


@dataclass(frozen=True, slots=True)
class Atom:
    """One instruction executed by all `threads` together (32: a warp, 1: each thread on its own).

    AtomCall arguments, in order: one Address per register operand (first register of this thread), then, for
    instructions that touch memory, the addresses and scalars that `kind` fixes:
      mma       d, a, b                         d += a @ b; each an Address into a LOCAL buffer
      mma_sp    d, a, b, e                      the same where a has half of its columns, and e says which
      ldmatrix  registers, shared row address   each lane gives the address of one row of 16 bytes
      stmatrix  shared row address, registers
      cp_async  shared address, global address, predicate (zero-fills where false)
      wgmma     d, a (an Address, or a descriptor), b (a descriptor), whether to add to d
    `semantics` maps whole operand tiles (NumPy arrays, without threads) to the tile of the written operand.
    """

    name: str  # also the name of the device function
    kind: str  # mma, mma_sp, ldmatrix, stmatrix, cp_async, wgmma
    feature: str  # an entry of Target.features
    operands: tuple[Operand, ...]
    ptx: str  # template over operand names
    source: str  # where the row was read: manual, section
    threads: int = 32
    semantics: Callable[..., Any] | None = None
    completion: Completion = Completion.SYNC
    proxy: Proxy = Proxy.GENERIC
    bytes: int = 0  # bytes per thread and memory access, for those that touch memory
    matrices: int = 0  # 8x8 matrices of ldmatrix and stmatrix
    transposed: bool = False  # .trans
