"""The device functions of arithmetic with a direction of rounding: CUDA's intrinsics of float32 and float64."""

from __future__ import annotations

from tiledsl.ir.ops import DIRECTIONS, ROUNDED

# What the CUDA Math API calls them, less the direction ("Single Precision Intrinsics", "Double Precision Intrinsics").
_INTRINSICS = {
    "add": ("__fadd", "__dadd"),
    "sub": ("__fsub", "__dsub"),
    "mul": ("__fmul", "__dmul"),
    "div": ("__fdiv", "__ddiv"),
    "rcp": ("__frcp", "__drcp"),
    "sqrt": ("__fsqrt", "__dsqrt"),
    "fma": ("__fmaf", "__fma"),
}


def rounded_functions() -> str:
    """A piece of the device API for each operation and direction."""
    return "\n\n".join(_piece(name, arity, d) for name, arity in ROUNDED.items() for d in DIRECTIONS)


def _piece(name: str, arity: int, direction: str) -> str:
    operands = "abc"[:arity]
    lines = []
    for kind, intrinsic in zip(("float", "double"), _INTRINSICS[name], strict=True):
        parameters = ", ".join(f"{kind} {x}" for x in operands)
        call = f"::{intrinsic}_{direction}({', '.join(operands)})"
        lines.append(f"TDS_DEVICE {kind} {name}_{direction}({parameters}) {{ return {call}; }}")
    return "\n".join(lines)
