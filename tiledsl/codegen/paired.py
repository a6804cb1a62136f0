"""The device functions on two 16-bit floats that share a register: the instructions for f16x2 and bf16x2."""

from __future__ import annotations

from tiledsl.ir.ops import PAIRED, PAIRS

# PTX ISA, "Half Precision Floating Point Instructions". With .rn no compiler joins a product and a sum.
_INSTRUCTIONS = {
    "add": "add.rn",
    "sub": "sub.rn",
    "mul": "mul.rn",
    "fma": "fma.rn",
    "max": "max.NaN",
    "min": "min.NaN",
    "abs": "abs",
}
# Before sm_90 sums and products of bf16x2 are multiply-adds with 1, -1 or -0, which round once all the same.
_FUSED = {
    "add": ("a", "0x3f803f80u", "b"),
    "sub": ("b", "0xbf80bf80u", "a"),
    "mul": ("a", "b", "0x80008000u"),
}


def paired_functions() -> str:
    """A piece of the device API for each operation and pair."""
    return "\n\n".join(_function(name, pair) for name in PAIRED for pair in PAIRS)


def _function(name: str, pair: str) -> str:
    operands = tuple("abc"[: PAIRED[name]])
    body = [_asm(f"{_INSTRUCTIONS[name]}.{pair}", operands)]
    if pair == "bf16x2" and name in _FUSED:
        body = ["#if __CUDA_ARCH__ >= 900", *body, "#else", _asm("fma.rn.bf16x2", _FUSED[name]), "#endif"]
    parameters = ", ".join(f"u32 {x}" for x in operands)
    return "\n".join([f"TDS_DEVICE u32 {name}_{pair}({parameters}) {{", "  u32 d;", *body, "  return d;", "}"])


def _asm(instruction: str, operands: tuple[str, ...]) -> str:
    places = ", ".join(f"%{i}" for i in range(len(operands) + 1))
    given = ", ".join(f'"r"({x})' for x in operands)
    return f'  asm("{instruction} {places};" : "=r"(d) : {given});'
