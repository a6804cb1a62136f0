"""GPUs as data. Features are sets of names, never compared by version: architecture-specific ones do not carry over.

Sources: CUDA C++ Programming Guide, "Compute Capabilities", table of technical specifications; PTX ISA, target notes.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.errors import error


@dataclass(frozen=True, slots=True)
class Target:
    """`shared_per_block` and `shared_per_sm` in bytes, with opt-in; `features` are what instruction rows ask for."""

    name: str
    shared_per_block: int
    shared_per_sm: int
    features: frozenset[str]
    warps_per_sm: int = 64
    blocks_per_sm: int = 32
    registers_per_sm: int = 65536
    max_registers: int = 255
    max_threads: int = 1024


_SM80 = frozenset({"mma_sync", "ldmatrix", "cp_async", "mma_f64"})
_SM89 = _SM80 | {"mma_fp8"}
_SM90 = _SM89 | {"tma", "mbarrier_tx", "cluster", "stmatrix"}
_KIB = 1024

TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target("sm_80", 163 * _KIB, 164 * _KIB, _SM80),
        Target("sm_86", 99 * _KIB, 100 * _KIB, _SM80, warps_per_sm=48, blocks_per_sm=16),
        Target("sm_89", 99 * _KIB, 100 * _KIB, _SM89, warps_per_sm=48, blocks_per_sm=24),
        Target("sm_90a", 227 * _KIB, 228 * _KIB, _SM90 | {"wgmma", "setmaxnreg"}),
        Target("sm_100a", 227 * _KIB, 228 * _KIB, _SM90 | {"tcgen05", "setmaxnreg"}),  # and no wgmma
        Target("sm_120a", 99 * _KIB, 100 * _KIB, _SM90, warps_per_sm=48, blocks_per_sm=24),
    )
}
DEFAULT_TARGET = "sm_80"


def target_named(name: str) -> Target:
    """The row `name`. Raises TileError TD0901 for a name not in the table."""
    if name not in TARGETS:
        raise error("TD0901", name=name, known=", ".join(TARGETS))
    return TARGETS[name]
