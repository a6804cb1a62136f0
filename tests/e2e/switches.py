"""Single-fault mutants of an emitted text, all in one: each fault is behind a switch that is thrown at run time.

So that one compilation serves all mutants of a kernel. The switch is the variable `tds_fault` of the library: 0 is the
kernel as emitted, n the n-th fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from places import Place

_HEAD = """\
extern "C" { int tds_fault = 0; }
#define FAULT(n) (tds_fault == n)
#define KEEP(n) (tds_fault == n ? 0 : -1)
"""


@dataclass(frozen=True)
class Fault:
    """The `number`-th fault of a text, of one `kind`, at a `place`; `line` is the user's.

    Of the same ones at the same place this is number `one`.
    """

    number: int
    kind: str
    what: str
    place: str
    line: int
    one: int

    def __str__(self) -> str:
        return f"{self.what}, {self.place} #{self.one}"


# Statements that synchronise, by the name of the device function.
SYNCHRONISES = re.compile(
    r"barrier|cp_async_(commit|wait)|fence|syncwarp|mbarrier|bulk_(commit|wait)|wgmma_(fence|commit|wait)|cluster_|setmaxnreg"
)
# Faults in the last argument of such a statement; FAULT(n) is 0 or 1.
_ARGUMENTS = {
    "mbarrier_wait": (("waits for the other parity", "^"),),
    "mbarrier_wait_cluster": (("waits for the other parity", "^"),),
    "mbarrier_init": (("counts an arrival more", "+"), ("counts an arrival fewer", "-")),
    "mbarrier_arrive_expect_tx": (("expects 16 bytes more", "+ 16 *"), ("expects 16 bytes fewer", "- 16 *")),
    "barrier_sync": (("for a warpgroup more", "+ 128 *"), ("for a warpgroup fewer", "- 128 *")),
    "barrier_arrive": (("for a warpgroup more", "+ 128 *"), ("for a warpgroup fewer", "- 128 *")),
    "mbarrier_arrive_expect_tx_ranks": (("expects 16 bytes more", "+ 16 *"), ("expects 16 bytes fewer", "- 16 *")),
    "mbarrier_expect_tx": (("expects 16 bytes more", "+ 16 *"), ("expects 16 bytes fewer", "- 16 *")),
}
# Faults in the first argument.
_PLACES = {"barrier_sync": "at the next barrier", "barrier_arrive": "at the next barrier"}
# What is added to the number between the angle brackets.
_NUMBERS = {
    "cp_async_wait": (("lets {} pend", 1),),
    "wgmma_wait": (("lets {} pend", 1),),
    "bulk_wait": (("lets {} pend", 1),),
    "bulk_wait_read": (("lets {} pend", 1),),
    "setmaxnreg_inc": (("wants {}", 8),),
    "setmaxnreg_dec": (("keeps {}", 16),),
}
_OTHERS = {"bulk_wait": "bulk_wait_read"}  # functions that do less
_REPEATED = ("mbarrier_arrive", "mbarrier_arrive_ranks", "mbarrier_arrive_expect_tx_ranks")
_MASKED = (
    "mbarrier_arrive_ranks",
    "mbarrier_arrive_expect_tx_ranks",
)  # between the angle brackets is a mask of blocks of the cluster
_MULTICAST = {"tma_load_multicast": 3, "bulk_load_multicast": 4}  # which argument is such a mask
_SEND = "bulk_copy_cluster"
_STATEMENT = re.compile(r"^(\s*)tds::(\w+)(?:<(\d+)>)?\(.*\);$")
_VARIABLE = re.compile(r"^\s*tds::\w+ (\w+) = .*;$")
_STEP = re.compile(r"^(\s*)(\w+) = .*;$")
_IF = re.compile(r"^(\s*(?:\} else )?)if \((.*)\) \{$")
_CP_ASYNC = re.compile(r"^\s*tds::cp_async_\d+\(.*\);$")
_ROLE = re.compile(r"^\(?warp(_\d+)? ")  # how the condition of a role begins
_LOOP = re.compile(r"^\s*(for|while) \(.*\{$")
_LINE = re.compile(r'^#line (\d+)(?: ".*")?$')


@dataclass
class _Switches:
    faults: list[Fault] = field(default_factory=list)
    line: int = 0
    place: Place = field(default_factory=Place)
    indents: list[int] = field(default_factory=list)  # of the roles and loops around
    unrolled: bool = False  # whether the line before says so of the next loop
    variables: set[str] = field(default_factory=set)  # of each thread, that it changes: counters of slots and phases

    def leave_blocks(self, line: str) -> None:
        """Of the roles and loops around those that end with `line`."""
        if line.startswith("TDS_KERNEL"):
            self.place.enter_launch()
        indent = len(line) - len(line.lstrip())
        while self.indents and line.strip().startswith("}") and indent <= self.indents[-1]:
            self.indents.pop()
            self.place.leave()

    def enter_block(self, line: str) -> None:
        """The role or loop that begins with `line`, if it does."""
        guard, loop = _IF.match(line), _LOOP.match(line)
        if guard and _ROLE.match(guard[2]):
            self.place.enter_role()
            self.indents.append(len(line) - len(line.lstrip()))
        elif loop and not self.unrolled:
            self.place.enter_loop()
            self.indents.append(len(line) - len(line.lstrip()))
        if not _LINE.match(line):
            self.unrolled = line.strip() == "TDS_UNROLL"

    def new(self, kind: str, what: str) -> int:
        place = str(self.place)
        one = 1 + sum((f.what, f.place) == (what, place) for f in self.faults)
        self.faults.append(Fault(len(self.faults) + 1, kind, what, place, self.line, one))
        return len(self.faults)


def with_switches(text: str) -> tuple[str, tuple[Fault, ...]]:
    """`text` with every fault behind its switch, and the faults in order; the lines stay where they are."""
    switches, lines = _Switches(), []
    given = text.splitlines()
    for number, line in enumerate(given):
        switches.leave_blocks(line)
        lines.append(_line(line, _handover(given[number + 1 :]), switches))
        switches.enter_block(line)
    return _HEAD + "\n".join(lines) + "\n", tuple(switches.faults)


def _handover(lines: list[str]) -> str:
    """What a block that begins with these lines tells others, if that comes first: "arrive empty"."""
    first = next((line for line in lines if not _LINE.match(line)), "")
    found = _STATEMENT.match(first)
    return f" of {_named(found)}" if found and found[2].startswith("mbarrier") else ""


def _line(line: str, follows: str, switches: _Switches) -> str:
    if place := _LINE.match(line):
        switches.line = int(place[1]) - 1
        return line
    switches.line += 1
    line = _selections(_swizzles(line, switches), switches)
    if guard := _IF.match(line):
        number = switches.new("guard", f"guard 'if ({guard[2]})'{follows} dropped")
        return f"{guard[1]}if (FAULT({number}) || ({guard[2]})) {{"
    if _CP_ASYNC.match(line) and not line.endswith(", true);"):
        before, predicate = _last_argument(line[: -len(");")])
        number = switches.new("predicate", f"copy whatever '{predicate}' says")
        return f"{before}, FAULT({number}) || ({predicate}));"
    statement = _STATEMENT.match(line)
    if statement and SYNCHRONISES.match(statement[2]):
        return _synchronisation(line, statement, switches)
    if statement and statement[2] in _MULTICAST:
        return _multicast(line, statement[2], switches)
    if statement and statement[2] == _SEND:
        return _sent(line, statement, switches)
    if variable := _VARIABLE.match(line):
        switches.variables.add(variable[1])
    elif (step := _STEP.match(line)) and step[2] in switches.variables:
        return f"{step[1]}if (!FAULT({switches.new('counter', f'{step[2]!r} not stepped')})) {line.strip()}"
    return line


def _synchronisation(line: str, statement: re.Match[str], switches: _Switches) -> str:
    """A chain of conditionals, one for each form the statement may take, and then as it is, or not at all."""
    indent, name, number = statement[1], statement[2], statement[3]
    code, named = line.strip(), _named(statement)
    off = switches.new(name, f"{named} removed")
    for what, sign in _ARGUMENTS.get(name, ()):
        before, last = _last_argument(code[: -len(");")])
        code = f"{before}, ({last}) {sign} FAULT({switches.new(name, f'{named} {what}')}));"
    if name in _PLACES:
        fault = switches.new(name, f"{named} {_PLACES[name]}")
        code = re.sub(r"\((.*?), ", rf"((\1) + FAULT({fault}), ", code, count=1)
    forms = []
    for what, more in _NUMBERS.get(name, ()):
        other = int(number) + more
        forms.append((f"{named} {what.format(other)}", code.replace(f"<{number}>", f"<{other}>", 1)))
    if name in _MASKED:
        for rank, mask in _without_each(int(number)):
            forms.append((f"{named} not at block {rank}", code.replace(f"<{number}>", f"<{mask}>", 1)))
    if name in _OTHERS:
        forms.append((f"{named} as {_OTHERS[name]}", code.replace(name, _OTHERS[name], 1)))
    if name in _REPEATED:
        forms.append((f"{named} twice", f"{{ {code} {code} }}"))
    chain = "".join(f"if (FAULT({switches.new(name, what)})) {form} else " for what, form in forms)
    return f"{indent}{chain}if (!FAULT({off})) {code}"


def _named(statement: re.Match[str]) -> str:
    """The function that synchronises, and the barrier in shared memory that it is about."""
    name = statement[2]
    barrier = re.search(r"\((\w+)", statement[0])
    return f"{name} {barrier[1]}" if name.startswith("mbarrier") and barrier else name


def _without_each(mask: int) -> list[tuple[int, int]]:
    """Each block of a mask, and the mask without it."""
    return [(rank, mask & ~(1 << rank)) for rank in range(mask.bit_length()) if mask >> rank & 1]


def _multicast(line: str, name: str, switches: _Switches) -> str:
    """A copy to several blocks that leaves one out."""
    start = line.index(f"{name}(") + len(name) + 1
    arguments = _arguments(line[start:-2])
    at = _MULTICAST[name]
    for rank, _ in _without_each(int(arguments[at])):
        arguments[at] += f" & ~(FAULT({switches.new(name, f'{name} not to block {rank}')}) << {rank})"
    return f"{line[:start]}{', '.join(arguments)});"


def _sent(line: str, statement: re.Match[str], switches: _Switches) -> str:
    """A copy to another block that is not made, of fewer bytes, to or on the barrier of the next block, or both."""
    to, source, size, barrier = _arguments(line[line.index(_SEND) + len(_SEND) + 1 : -2])
    off, short, tile, told, both = (
        switches.new(_SEND, f"{_SEND} {what}")
        for what in ("removed", "of 16 bytes fewer", "of the tile elsewhere", "told elsewhere", "elsewhere")
    )

    def mapped(address: str, other: int) -> str:
        before, rank = _last_argument(address[: -len(")")])
        return f"{before}, ({rank}) ^ (FAULT({other}) | FAULT({both})))"

    arguments = (mapped(to, tile), source, f"({size}) - 16 * FAULT({short})", mapped(barrier, told))
    return f"{statement[1]}if (!FAULT({off})) tds::{_SEND}({', '.join(arguments)});"


def _arguments(text: str) -> list[str]:
    """What stands between the commas that are in no parentheses."""
    found, depth = [""], 0
    for c in text:
        depth += (c in "([") - (c in ")]")
        if c == "," and depth == 0:
            found.append("")
        else:
            found[-1] += c
    return [a.strip() for a in found]


def _swizzles(line: str, switches: _Switches) -> str:
    """`a ^ b` without b: & binds tighter than ^, and looser than the operators of b."""
    parts = line.split(" ^ ")
    out = parts[0]
    for part in parts[1:]:
        out += f" ^ KEEP({switches.new('swizzle', f'swizzle by {part[:20]!r} dropped')}) & {part}"
    return out


def _selections(line: str, switches: _Switches) -> str:
    """`c ? a : b` as if c were true."""
    at = line.find(" ? ")
    while at >= 0:
        start = _operand_start(line, at)
        number = switches.new("selection", f"'{line[start:at]}' always taken as true")
        switched = f"(FAULT({number}) || {line[start:at]})"
        line = line[:start] + switched + line[at:]
        at = line.find(" ? ", start + len(switched) + 3)
    return line


def _operand_start(line: str, end: int) -> int:
    """Where the operand that ends before `end` begins: a parenthesis with what names its function, or a word."""
    at = end
    if line[at - 1] == ")":
        depth = 0
        for at in range(end - 1, -1, -1):
            depth += (line[at] == ")") - (line[at] == "(")
            if depth == 0:
                break
    while at > 0 and (line[at - 1].isalnum() or line[at - 1] in "_:"):
        at -= 1
    return at


def _last_argument(call: str) -> tuple[str, str]:
    depth = 0
    for at in range(len(call) - 1, -1, -1):
        depth += (call[at] in ")]") - (call[at] in "([")
        if call[at] == "," and depth == 0:
            return call[:at], call[at + 1 :].strip()
    raise ValueError(f"no argument in '{call}'")
