"""The least time that each part of a GPU needs for a launch, and which of them limits it.

Every part is taken to be busy all the time at its peak rate, latencies are not looked at: a bound, not a prediction.
Those parts that an SM has for itself count for the SM with the most blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiledsl.report.accesses import Access
from tiledsl.report.sass_stats import KernelStats
from tiledsl.report.work import Work
from tiledsl.target import Gpu

# A clock of an SM. CUDA C++ Programming Guide, "Arithmetic Instructions" and "Shared Memory": 16 results of the special
# functions, 128 bytes of shared memory, an instruction of each of four schedulers.
_SPECIAL, _SCHEDULERS, _WAVEFRONTS = 16, 4, 1
_SECTOR = 32
_HALVES = ("float16", "bfloat16", "float32")  # narrow floats are computed in float32 by the ordinary cores


@dataclass(frozen=True)
class Traffic:
    """Bytes of global memory that a launch moves: `dram` if each byte of a tensor crosses once in each direction that
    is used, `l2` in sectors as they are asked for; `wanted` is what the threads ask for."""

    dram: int
    l2: int
    wanted: int


@dataclass(frozen=True)
class Roofline:
    """`seconds` by part: tensor cores, arithmetic, special functions, instruction issue, shared memory, L2, DRAM.

    `time` is the greatest of them and `limiter` its part. `per_block`: the grid is not known, and the times are those
    of one block on its share of the GPU. `waves`: how many blocks the busiest SM executes for each that it can hold.
    `intensity` is operations for each byte of DRAM traffic.
    """

    gpu: str
    seconds: dict[str, float]
    time: float
    limiter: str
    intensity: float
    waves: float
    per_block: bool


def traffic(found: Sequence[Access], sizes: Mapping[str, int]) -> Traffic:
    """`sizes` are the bytes of the tensors, as far as known."""
    outside = [a for a in found if a.space == "global"]
    once: dict[tuple[str, bool], int] = {}
    for a in outside:
        for writes in (False, True):
            kind = a.op.removeprefix("bulk ")
            if kind == "atomic" or writes == (kind == "store"):
                once[a.buffer, writes] = once.get((a.buffer, writes), 0) + a.bytes
    dram = sum(min(moved, sizes.get(name, moved)) for (name, _), moved in once.items())
    return Traffic(dram, _SECTOR * sum(a.transactions for a in outside), sum(a.bytes for a in outside))


def issued(stats: KernelStats | None, work: Work, found: Sequence[Access], warps: int) -> float:
    """Estimated number of instructions that all warps issue: the main loop as often as its tensor instructions (or else
    its accesses) are executed, what is outside of it once a warp. 0 without machine code."""
    if stats is None:
        return 0.0
    loop = stats.main_loop
    if loop is None:
        return float(stats.total.instructions * warps)
    outside = stats.total.instructions - loop.instructions
    if loop.tensor:
        rounds = max(0.0, work.tensor_instructions - (stats.total.tensor - loop.tensor) * warps) / loop.tensor
    else:
        kinds = [k for k in ("global", "shared") if loop.classes.get(k)]
        asked = sum(a.requests for a in found if a.in_loop and kinds and a.space == kinds[0])
        rounds = asked / loop.classes[kinds[0]] if kinds else float(warps)
    return outside * warps + loop.instructions * rounds


def roofline(
    gpu: Gpu,
    work: Work,
    found: Sequence[Access],
    moved: Traffic,
    instructions: float,
    blocks: int | None,
    resident: int,
) -> Roofline:
    """`blocks` of the grid, of which `resident` fit one SM; None if not known."""
    if blocks is None:
        share, waves = 1 / gpu.sms, 1.0  # one block has one SM and a share of the rest
        busy = share
    else:
        on_busiest = -(-blocks // gpu.sms)
        share, waves = 1.0, on_busiest / max(1, resident)
        busy = blocks / (gpu.sms * on_busiest) if blocks else 1.0
    clocks = gpu.clock * 1e9 * gpu.sms
    halves = sum(work.arithmetic.get(name, 0) for name in _HALVES)
    parts = {
        "tensor cores": _tensor_seconds(gpu, work) / busy,
        "arithmetic": (halves / (gpu.fp32 * 1e12) + work.arithmetic.get("float64", 0) / (gpu.fp64 * 1e12)) / busy,
        "special functions": work.special / (_SPECIAL * clocks) / busy,
        "instruction issue": instructions / (_SCHEDULERS * clocks) / busy,
        "shared memory": sum(a.transactions for a in found if a.space == "shared") / (_WAVEFRONTS * clocks) / busy,
        "L2": moved.l2 / (gpu.l2 * 1e9) / share if gpu.l2 else 0.0,
        "DRAM": moved.dram / (gpu.dram * 1e9) / share,
    }
    limiter = max(parts, key=lambda name: parts[name])
    intensity = work.operations / moved.dram if moved.dram else 0.0
    return Roofline(gpu.name, parts, parts[limiter], limiter, intensity, waves, blocks is None)


def _tensor_seconds(gpu: Gpu, work: Work) -> float:
    """Dtypes that the tensor cores of this GPU do not have take no time here: they would not compile."""
    rates = {dtype: gpu.tensor_rate(dtype) for dtype in work.tensor}
    return sum(n / (rates[d] * 1e12) for d, n in work.tensor.items() if rates[d])
