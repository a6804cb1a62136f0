"""Static figures of machine code: instruction mix and a model of the hottest loop. Proxies, not times.

Per warp: `tensor_cycles` is how long the tensor pipe of a sub-core is busy with the loop, `integer_per_tensor` the
address arithmetic per tensor instruction, `issue_per_tensor_cycle` > 0.8 means bound by issue slots.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiledsl.report.sass_code import Code, Instruction, Loop, disassemble, loops

# Opcodes by class; the uniform datapath and fp64 follow from the first letter.
_OPCODES = {
    "integer": "IMAD IADD IADD3 LEA LOP LOP3 SHF SHL SHR IMUL IABS IDP IMNMX VIMNMX VIADD PRMT SGXT BMSK FLO POPC",
    "predicate": "ISETP FSETP HSETP2 PLOP3 PSETP P2R R2P DSETP",
    "move": "MOV SEL FSEL SHFL CS2R S2R S2UR MOVM VOTE REDUX ELECT R2UR",
    "fp32": "FFMA FADD FMUL FMNMX FCHK FFMA2 FADD2 FMUL2 FMNMX3",
    "fp16": "HFMA2 HADD2 HMUL2 HMNMX2 HSET2",
    "convert": "F2F F2FP F2I I2F I2FP FRND I2I",
    "spill": "LDL STL",
    "shared": "LDSM STSM LDS STS",
    "global": "LDG STG LD ST LDGSTS ATOMG RED ATOM UTMALDG UTMASTG UBLKCP",
    "sync": "BAR SYNCS DEPBAR LDGDEPBAR WARPSYNC WARPGROUP MEMBAR FENCE",
    "control": "BRA BSSY BSYNC EXIT RET CALL BREAK JMP BRX NANOSLEEP",
    "special": "MUFU",
    "tensor": "HMMA HGMMA QGMMA QMMA IMMA IGMMA DMMA BMMA OMMA",
}
_CLASSES = {op: name for name, ops in _OPCODES.items() for op in ops.split()}

# Shapes of mma.sync by the digits in the opcode.
_SHAPES = {"16816": (16, 8, 16), "1688": (16, 8, 8), "16832": (16, 8, 32), "8816": (8, 8, 16), "884": (8, 8, 4)}


def classify(i: Instruction) -> str:
    """The class of an instruction; register moves spelled as IMAD count as moves."""
    if i.base == "IMAD" and ".MOV" in i.op:
        return "move"
    if i.base in _CLASSES:
        return _CLASSES[i.base]
    return "uniform" if i.base.startswith("U") else "fp64" if i.base.startswith("D") else "other"


def tensor_cycles(i: Instruction) -> float:
    """Cycles of the tensor pipe of a sub-core of an A100; for wgmma, of a Hopper SM (64 x N takes N / 2).

    Source: NVIDIA A100 and H100 whitepapers, dense rates: 256 fp16, 512 int8, 128 tf32, 16 fp64 multiply-adds a cycle.
    """
    wide = re.search(r"\.(\d+)x(\d+)x(\d+)", i.op)
    if wide:
        return int(wide[2]) / 2 * (int(wide[1]) / 64)
    shape = next((_SHAPES[p] for p in i.op.split(".") if p in _SHAPES), None)
    if shape is None:
        return 0.0
    eight_bit = i.base in ("IMMA", "QMMA") or "E4M3" in i.op or "E5M2" in i.op
    rate = 512 if eight_bit else 128 if ".TF32" in i.op else 16 if i.base == "DMMA" else 256
    return shape[0] * shape[1] * shape[2] / rate


@dataclass(frozen=True)
class Mix:
    """Counts over some instructions, NOPs left out."""

    instructions: int
    classes: dict[str, int]
    tensor_cycles: float
    stall_cycles: int

    @property
    def tensor(self) -> int:
        return self.classes.get("tensor", 0)

    @property
    def spills(self) -> int:
        return self.classes.get("spill", 0)

    @property
    def integer_per_tensor(self) -> float:
        """Integer instructions per tensor instruction; 0 without tensor instructions."""
        return self.classes.get("integer", 0) / self.tensor if self.tensor else 0.0

    @property
    def issue_per_tensor_cycle(self) -> float:
        return self.instructions / self.tensor_cycles if self.tensor_cycles else 0.0


def mix(instructions: Iterable[Instruction]) -> Mix:
    real = [i for i in instructions if i.op != "NOP"]
    classes = Counter(classify(i) for i in real)
    stalls = sum(max(1, i.stall) for i in real)
    return Mix(len(real), dict(classes.most_common()), sum(map(tensor_cycles, real)), stalls)


@dataclass(frozen=True)
class Overlap:
    """What is issued while the tensor pipe works on asynchronous products (wgmma) in one trip of a loop.

    `waits` has for each wait how many groups may stay in flight after it; a wait for 0 drains the pipe. `fraction` is
    the part of the other instructions that is issued while a group is in flight.
    """

    waits: tuple[int, ...]
    fraction: float

    @property
    def drains(self) -> int:
        return self.waits.count(0)


_WAIT = re.compile(r"gsb0,\s*(0x[0-9a-fA-F]+|\d+)")


def overlap(body: Sequence[Instruction]) -> Overlap | None:
    """Of a loop body in the order of its addresses; None without wgmma. An HGMMA that names gsb0 closes a group."""
    if not any("GMMA" in i.base for i in body):
        return None
    others = sum(i.op != "NOP" and classify(i) != "tensor" for i in body)
    in_flight = beside = 0
    waits: list[int] = []
    for _ in range(2):  # the second begins with what the first left in flight
        beside, waits = 0, []
        for i in body:
            if "GMMA" in i.base:
                in_flight += "gsb0" in i.args
            elif i.op.startswith("WARPGROUP.DEPBAR"):
                named = _WAIT.search(i.args)
                waits.append(int(named[1], 0) if named else 0)
                in_flight = min(in_flight, waits[-1])
            elif in_flight and i.op != "NOP":
                beside += 1
    return Overlap(tuple(waits), beside / others if others else 0.0)


@dataclass(frozen=True)
class KernelStats:
    """The whole kernel and its main loop: that with the most tensor work of its own, else the innermost heaviest."""

    name: str
    total: Mix
    main_loop: Mix | None
    main_loop_code: tuple[Instruction, ...]

    @property
    def overlap(self) -> Overlap | None:
        return overlap(self.main_loop_code)


def main_loop(code: Code, found: Sequence[Loop]) -> frozenset[int] | None:
    """Positions of the loop that matters; a level of nesting counts as eight trips, as trip counts are unknown.

    Of loops with the same products that with the least work: the others mask the tiles at the end (split-loops).
    """

    def weight(loop: Loop) -> tuple[float, int]:
        nested = frozenset[int]().union(*(o.body for o in found if o.body < loop.body))
        own = [code.instructions[k] for k in loop.body - nested]
        tensor = sum(map(tensor_cycles, own)) * 8**loop.depth
        work = sum(classify(i) in ("fp32", "fp16", "global", "shared", "special", "predicate") for i in own)
        return tensor, -work if tensor else work

    best = max(found, key=weight, default=None)
    return best.body if best is not None and any(weight(best)) else None


def analyze(cubin: bytes) -> dict[str, KernelStats]:
    """Statistics by kernel name. Raises RuntimeError if nvdisasm is missing."""
    out: dict[str, KernelStats] = {}
    for name, code in disassemble(cubin).items():
        body = main_loop(code, loops(code))
        inside = tuple(code.instructions[k] for k in sorted(body)) if body else ()
        out[name] = KernelStats(name, mix(code.instructions), mix(inside) if body else None, inside)
    return out
