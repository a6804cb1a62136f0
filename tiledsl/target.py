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
_SM90 = _SM89 | {"tma", "mbarrier_tx", "cluster", "stmatrix", "dependent_launch"}
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


@dataclass(frozen=True, slots=True)
class Gpu:
    """A product: what the roofline of `tiledsl report` compares with. Rates without sparsity, at the boost clock.

    `tensor` has the TFLOP/s (operations for integers) of the tensor cores by the operands' dtype, sums in 32 bits;
    `fp32` and `fp64` those of the ordinary cores. `clock` is in GHz, `dram` and `l2` in GB/s (0: not published).
    """

    name: str
    target: str
    sms: int
    clock: float
    dram: float
    l2: float
    fp32: float
    fp64: float
    tensor: tuple[tuple[str, float], ...]
    source: str

    def tensor_rate(self, dtype: str) -> float:
        """TFLOP/s for operands of a dtype by its name; 0 if there is no such instruction."""
        return dict(self.tensor).get(_SAME_RATE.get(dtype, dtype), 0.0)


_SAME_RATE = {"bfloat16": "float16", "uint8": "int8", "float8_e5m2": "float8_e4m3fn"}
# The bandwidth of the L2 cache of Hopper and Blackwell is not published: the 5120 bytes a clock of the A100 stand in.
_L2_BYTES = 5120

GPUS: dict[str, Gpu] = {
    g.name: g
    for g in (
        Gpu(
            *("A100", "sm_80", 108, 1.41, 2039, 1.41 * _L2_BYTES, 19.5, 9.7),
            (("float16", 312), ("tfloat32", 156), ("int8", 624), ("float64", 19.5)),
            "NVIDIA A100 Tensor Core GPU Architecture, tables 1 to 4; A100 80GB SXM data sheet",
        ),
        Gpu(
            *("RTX3090", "sm_86", 82, 1.695, 936, 0, 35.6, 0.556),
            (("float16", 71), ("tfloat32", 35.6), ("int8", 284)),
            "NVIDIA Ampere GA102 GPU Architecture, appendix A",
        ),
        Gpu(
            *("RTX4090", "sm_89", 128, 2.52, 1008, 0, 82.6, 1.29),
            (("float16", 165.2), ("tfloat32", 82.6), ("int8", 660.6), ("float8_e4m3fn", 330.3)),
            "NVIDIA Ada GPU Architecture, appendix A",
        ),
        Gpu(
            *("H200", "sm_90a", 132, 1.83, 4800, 1.83 * _L2_BYTES, 66.9, 33.5),
            (("float16", 989.4), ("tfloat32", 494.7), ("int8", 1979), ("float8_e4m3fn", 1979), ("float64", 66.9)),
            "NVIDIA H100 Tensor Core GPU Architecture, table 2; H200 data sheet",
        ),
        Gpu(
            *("H100", "sm_90a", 132, 1.83, 3352, 1.83 * _L2_BYTES, 66.9, 33.5),
            (("float16", 989.4), ("tfloat32", 494.7), ("int8", 1979), ("float8_e4m3fn", 1979), ("float64", 66.9)),
            "NVIDIA H100 Tensor Core GPU Architecture, table 2 (SXM5)",
        ),
        Gpu(
            *("B200", "sm_100a", 148, 1.965, 8000, 1.965 * _L2_BYTES, 75, 37),
            (("float16", 2250), ("tfloat32", 1125), ("int8", 4500), ("float8_e4m3fn", 4500), ("float64", 37)),
            "NVIDIA Blackwell Architecture Technical Brief; HGX B200 data sheet",
        ),
        Gpu(
            *("RTX5090", "sm_120a", 170, 2.407, 1792, 0, 104.8, 1.64),
            (("float16", 209.5), ("tfloat32", 104.8), ("int8", 838), ("float8_e4m3fn", 419)),
            "NVIDIA RTX Blackwell GPU Architecture, appendix A",
        ),
    )
}


def gpu_named(name: str | None, target: Target) -> Gpu:
    """The product `name`, or by default the first of the table for the target. Raises TileError TD0914."""
    for gpu in GPUS.values():
        if gpu.target == target.name and name in (None, gpu.name):
            return gpu
    known = ", ".join(g.name for g in GPUS.values() if g.target == target.name)
    raise error("TD0914", name=name, target=target.name, known=known)


def target_named(name: str) -> Target:
    """The row `name`. Raises TileError TD0901 for a name not in the table."""
    if name not in TARGETS:
        raise error("TD0901", name=name, known=", ".join(TARGETS))
    return TARGETS[name]
