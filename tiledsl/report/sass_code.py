"""Machine code of a cubin as instructions, basic blocks and natural loops. Needs nvdisasm, no GPU."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """`op` with its modifiers, e.g. HMMA.16816.F32; `pred` its guard, empty if none; `stall` cycles, 0 if unknown."""

    address: int
    pred: str
    op: str
    args: str
    stall: int = 0

    @property
    def base(self) -> str:
        return self.op.partition(".")[0]


@dataclass(frozen=True)
class Code:
    instructions: tuple[Instruction, ...]
    labels: dict[str, int]


@cache
def find_nvdisasm() -> str | None:
    """The disassembler: on the PATH, or of the package nvidia-cuda-nvdisasm."""
    found = shutil.which("nvdisasm")
    if found:
        return found
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(root).glob("*/bin/nvdisasm")):
            return str(path)
    return None


_LINE = re.compile(
    r"^\s*/\*(?P<at>[0-9a-f]{4,})\*/\s+(?:@(?P<pred>!?U?P\w+)\s+)?(?P<op>[A-Z][\w.]*)\s*(?P<args>.*?)\s*;"
    r"\s*(?:/\*\s*(?P<low>0x[0-9a-f]{16})\s*\*/)?"
)
_HIGH_WORD = re.compile(r"^\s*/\*\s*(0x[0-9a-f]{16})\s*\*/")
_LABEL = re.compile(r"^(\.L_\w+):")
_SECTION = re.compile(r"\.section\s+\.text\.([^,\s]+)")
_STALL_SHIFT = 105 - 64  # the stall field is in bits 105-108 of the 128-bit encoding


def disassemble(cubin: bytes) -> dict[str, Code]:
    """Code by kernel name. Raises RuntimeError if nvdisasm is missing or fails."""
    tool = find_nvdisasm()
    if tool is None:
        raise RuntimeError("nvdisasm was not found")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        done = subprocess.run([tool, "-c", "-hex", file.name], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[:2000])
    return parse(done.stdout)


def parse(listing: str) -> dict[str, Code]:
    """Code by kernel name from nvdisasm's text."""
    kernels: dict[str, tuple[list[Instruction], dict[str, int]]] = {}
    current: tuple[list[Instruction], dict[str, int]] | None = None
    waiting: list[str] = []
    for line in listing.splitlines():
        if line.lstrip().startswith(".section\t"):
            named = _SECTION.search(line)
            current = kernels.setdefault(named[1], ([], {})) if named else None
            waiting = []
        elif current is None:
            continue
        elif m := _LINE.match(line):
            address = int(m["at"], 16)
            current[0].append(Instruction(address, m["pred"] or "", m["op"], m["args"]))
            current[1].update(dict.fromkeys(waiting, address))
            waiting = []
        elif (m := _HIGH_WORD.match(line)) and current[0]:
            last = current[0][-1]
            stall = int(m[1], 16) >> _STALL_SHIFT & 0xF
            current[0][-1] = Instruction(last.address, last.pred, last.op, last.args, stall)
        elif m := _LABEL.match(line):
            waiting.append(m[1])
    return {name: Code(tuple(code), labels) for name, (code, labels) in kernels.items() if code}


# ------------------------------------------------------------------------------------------------ control flow


def successors(code: Code) -> list[list[int]]:
    """For each instruction the positions that may run next. Convergence points count as falling through."""
    position = {i.address: k for k, i in enumerate(code.instructions)}
    out: list[list[int]] = []
    for k, i in enumerate(code.instructions):
        following = [k + 1] if k + 1 < len(code.instructions) else []
        if i.base in ("BRA", "JMP"):
            target = _target(i, code, position)
            conditional = bool(i.pred) or re.match(r"!?U?P\d|~", i.args) is not None or ".DIV" in i.op
            out.append(([] if target is None else [target]) + (following if conditional else []))
        elif i.base in ("EXIT", "RET"):
            out.append(following if i.pred else [])
        elif i.base in ("BRX", "BRXU", "JMX"):
            out.append(sorted(position[a] for a in set(code.labels.values()) if a in position))
        else:
            out.append(following)
    return out


def _target(i: Instruction, code: Code, position: dict[int, int]) -> int | None:
    named = re.search(r"`\((\.[\w$]+)\)", i.args)
    if named and named[1] in code.labels:
        return position.get(code.labels[named[1]])
    direct = re.search(r"0x([0-9a-f]+)\s*$", i.args)
    return position.get(int(direct[1], 16)) if direct else None


@dataclass(frozen=True)
class Loop:
    """A natural loop as instruction positions; `depth` counts the loops around it."""

    header: int
    body: frozenset[int]
    depth: int = 0


def loops(code: Code) -> list[Loop]:
    """The natural loops of the dominator tree, outermost first; loops that share a header are one."""
    starts, edges = _blocks(successors(code))
    ends = [*starts[1:], len(code.instructions)]
    found = _natural_loops(edges)
    as_positions = {
        header: frozenset(k for b in blocks for k in range(starts[b], ends[b])) for header, blocks in found.items()
    }
    bodies = sorted(as_positions.items(), key=lambda item: -len(item[1]))
    return [Loop(starts[h], body, sum(body < other for _, other in bodies)) for h, body in bodies]


def _blocks(following: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """First position of each basic block, and the edges between block numbers."""
    leaders = {0}
    for k, targets in enumerate(following):
        if list(targets) != [k + 1]:
            leaders.update(targets)
            leaders.add(k + 1)
    starts = sorted(s for s in leaders if s < len(following))
    number = {s: b for b, s in enumerate(starts)}
    lasts = [s - 1 for s in starts[1:]] + [len(following) - 1]
    return starts, [sorted({number[t] for t in following[last]}) for last in lasts]


def _natural_loops(edges: Sequence[Sequence[int]]) -> dict[int, set[int]]:
    order = _reverse_postorder(edges)
    before: dict[int, list[int]] = defaultdict(list)
    for b in order:
        for s in edges[b]:
            before[s].append(b)
    dominators = _dominators(order, before)
    out: dict[int, set[int]] = {}
    for b in order:
        for header in edges[b]:
            if header in dominators[b]:
                body, stack = out.setdefault(header, {header}), [b]
                while stack:
                    x = stack.pop()
                    if x not in body:
                        body.add(x)
                        stack.extend(before[x])
    return out


def _reverse_postorder(edges: Sequence[Sequence[int]]) -> list[int]:
    seen, out = {0}, []
    stack = [(0, iter(edges[0]))]
    while stack:
        block, rest = stack[-1]
        following = next((s for s in rest if s not in seen), None)
        if following is None:
            out.append(block)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(edges[following])))
    return out[::-1]


def _dominators(order: Sequence[int], before: dict[int, list[int]]) -> dict[int, set[int]]:
    """The blocks that every path from the entry to a block passes, itself included."""
    every = set(order)
    out = {b: every for b in order}
    out[order[0]] = {order[0]}
    changed = True
    while changed:
        changed = False
        for b in order[1:]:
            new = set.intersection(*(out[p] for p in before[b])) | {b}
            if new != out[b]:
                out[b], changed = new, True
    return out
