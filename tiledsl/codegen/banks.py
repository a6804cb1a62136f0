"""Sums of wgmma in registers that the C++ compiler does not see, for the sake of its time.

An `asm` statement of wgmma names every register of its sums: up to 128 of them go in and come out, which is most of
what the C++ compiler works on in such a kernel. Instead the sums live in a *bank*, registers of PTX that statements
find by name, and are read into C++ variables where threads compute with them. ptxas sees the same program.

Where the sums are at each place follows from the statements alone (`State`). Variables stay what they are where that
cannot be said, as where no `Hold` stands after a wait; and where ptxas would get other registers: if threads change
the sums that products go on to add to, or change them under a condition.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from enum import IntEnum

from tiledsl.codegen.offset import folded
from tiledsl.ir.concurrent import Fence, Hold, Roles
from tiledsl.ir.dtypes import INT32
from tiledsl.ir.fold import fold
from tiledsl.ir.frozen import dataclass
from tiledsl.ir.nodes import (
    FALSE,
    Address,
    Alloc,
    AsyncWait,
    AtomCall,
    Block,
    Break,
    Buffer,
    Const,
    Continue,
    Expr,
    For,
    If,
    Node,
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    View,
    While,
    static_shape,
)
from tiledsl.ir.walk import children, rewrite, statements, substitute, walk
from tiledsl.isa.wgmma import wgmma_row

_NOTHING: frozenset[Buffer] = frozenset()
_STEP = 8  # registers that a move of the device API takes at a time


@dataclass(frozen=True, slots=True)
class Bank:
    """The sums of one instruction: `words` of 32 bits, those of `buffer` from element `first` on.

    `number` is part of the registers' names; `variable` stands for the bank in the text.
    """

    number: int
    words: int
    buffer: Buffer
    first: int
    variable: Var


@dataclass(frozen=True, slots=True)
class BankCall(Stmt):
    """`call` with its sums in a bank."""

    call: AtomCall
    bank: Bank


@dataclass(frozen=True, slots=True)
class BankRead(Stmt):
    """Moves the sums from the bank to the registers of its buffer."""

    bank: Bank


class State(IntEnum):
    """Where the values of a buffer are. Where paths meet the greatest holds: it can be reached from all below it."""

    UNSET = 0
    IN_BANK = 1
    IN_REGISTERS = 2
    RUNNING = 3  # in the bank, and products may still add to them


States = dict[Buffer, State]


class _CannotSayError(Exception):
    """The statements do not say where the values of a buffer are."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer


def in_banks(body: Block) -> tuple[Block, tuple[Bank, ...]]:
    """`body` with sums in banks, and the banks; the same body if there are none."""
    candidates = _candidates(body)
    while candidates:
        rewriter = _Rewriter(_banks(candidates))
        try:
            made = rewriter.block(body, {}, None)
        except _CannotSayError as where:
            del candidates[where.buffer]
        else:
            return made, tuple(bank for banks in rewriter.banks.values() for bank in banks)
    return body, ()


def _candidates(body: Block) -> dict[Buffer, int]:
    """The registers that wgmma adds to, with the number of words of one instruction."""
    found: dict[Buffer, set[int]] = {}
    for outer in body:
        for s in (outer, *statements(outer)):
            sums = _sums_of(s)
            if sums is not None:
                found.setdefault(sums[0], set()).add(sums[1])
    alike = {b: words.pop() for b, words in found.items() if len(words) == 1 and b.space is Space.LOCAL}
    for b in _changed_by_choice(body):
        alike.pop(b, None)
    return {b: n for b, n in alike.items() if n % _STEP == 0 and _words(b) % n == 0}


def _changed_by_choice(body: Block) -> set[Buffer]:
    """What threads store to under a condition: ptxas gives it other registers on either path, and copies."""
    choices = (c for outer in body for c in (outer, *statements(outer)) if isinstance(c, If))
    return {s.buffer for c in choices for s in statements(c) if isinstance(s, Store)}


def _sums_of(s: Stmt) -> tuple[Buffer, int] | None:
    """The registers that a product adds to and how many words of it one instruction has; None if `s` is no wgmma."""
    row = wgmma_row(s.atom) if isinstance(s, AtomCall) else None
    if row is None or not isinstance(s, AtomCall) or not isinstance(s.args[0], Address):
        return None
    d = row.operands[0]
    return s.args[0].buffer, d.fragment.num_regs * d.dtype.bits // 32


def _words(b: Buffer) -> int:
    return static_shape(b)[0] * b.dtype.bits // 32


def _banks(candidates: Mapping[Buffer, int]) -> dict[Buffer, tuple[Bank, ...]]:
    found: dict[Buffer, tuple[Bank, ...]] = {}
    number = 0
    for b, words in candidates.items():
        count, each = _words(b) // words, words * 32 // b.dtype.bits
        found[b] = tuple(Bank(number + n, words, b, n * each, Var(f"{b.name}_bank", INT32)) for n in range(count))
        number += count
    return found


@dataclasses.dataclass
class _Loop:
    """A loop that is being rewritten: the states at its head, and those in which its jumps leave the body."""

    head: States
    jumps: list[States] = field(default_factory=list)


@dataclasses.dataclass
class _Rewriter:
    """Follows the statements in the order of execution; `states` of each method is changed in place."""

    banks: Mapping[Buffer, tuple[Bank, ...]]
    _mentioned: dict[int, frozenset[Buffer]] = field(default_factory=dict)  # by the identity of a statement

    def block(self, block: Block, states: States, loop: _Loop | None) -> Block:
        made: list[Stmt] = []
        for at, s in enumerate(block):
            made += self._statement(block, at, states, loop) if self._mentions(s) or _jumps(s) else (s,)
        return tuple(made)

    def _mentions(self, node: Node) -> frozenset[Buffer]:
        """The sums that it names anywhere. What is asked of a statement is known of those that it holds."""
        if isinstance(node, Buffer):
            return frozenset((node,)) if node in self.banks else _NOTHING
        if id(node) not in self._mentioned:
            self._mentioned[id(node)] = _NOTHING.union(*map(self._mentions, children(node)))
        return self._mentioned[id(node)]

    def _statement(self, block: Block, at: int, states: States, loop: _Loop | None) -> Block:
        s = block[at]
        match s:
            case Alloc(buffer, None):
                states[buffer] = State.UNSET
                return (s,)
            case Hold(buffer):
                return self._hold(block, at, buffer, states)
            case _ if self._product_of(s) is not None:
                return self._product(s, states)
            case For() | While():
                return self._loop(s, states)
            case If():
                return self._choice(s, states, loop)
            case Roles(roles):
                after = [dict(states) for _ in roles]
                bodies = [self.block(r.body, ends, None) for r, ends in zip(roles, after)]
                self._meet(states, after)
                ended = tuple(
                    replace(r, body=(*body, *self._reach(ends, states))) for r, body, ends in zip(roles, bodies, after)
                )
                return (replace(s, roles=ended),)
            case Break() | Continue():
                if loop is None:
                    return (s,)
                loop.jumps.append(dict(states))
                return (*self._reach(states, loop.head), s)
        return (*self._computes(s, self._mentions(s), states), s)

    # ---- places where sums change hands

    def _hold(self, block: Block, at: int, b: Buffer, states: States) -> Block:
        """Before a product: it takes the bank from here on. After a wait: the product is complete."""
        state = states.get(b, State.UNSET)
        product = next((k + 1 for k in range(at, len(block) - 1) if block[k] == Fence("product")), 0)
        is_next = product and all(isinstance(s, Hold) for s in block[at : product - 1])
        if is_next and self._product_of(block[product]) is b:
            states[b] = State.RUNNING
            if state is State.IN_REGISTERS and not self._is_fresh(block[product], b):
                raise _CannotSayError(b)
            return ()
        before = next((s for s in reversed(block[:at]) if not isinstance(s, Hold)), None)
        if not isinstance(before, AsyncWait) or before.queue != "product":
            raise _CannotSayError(b)
        states[b] = State.IN_BANK if state is State.RUNNING else state
        return ()

    def _computes(self, s: Node, buffers: frozenset[Buffer], states: States) -> Block:
        """What must precede `s`, in which threads use registers."""
        moves: list[Stmt] = []
        for b in (b for b in self.banks if b in buffers):
            state = states.get(b, State.UNSET)
            if state is State.RUNNING or isinstance(s, View):
                raise _CannotSayError(b)
            moves += self._read(b) if state is State.IN_BANK else ()
            states[b] = State.IN_REGISTERS
        return tuple(moves)

    def _read(self, b: Buffer) -> Block:
        return tuple(map(BankRead, self.banks[b]))

    # ---- paths

    def _reach(self, states: States, wanted: States) -> Block:
        """The moves from `states` to those that hold where paths meet."""
        moves: list[Stmt] = []
        for b in self.banks:
            state, goal = states.get(b, State.UNSET), wanted.get(b, State.UNSET)
            if state is State.IN_BANK and goal is State.IN_REGISTERS:
                moves += self._read(b)
            elif state is State.IN_REGISTERS and goal is State.RUNNING:
                raise _CannotSayError(b)
        return tuple(moves)

    @staticmethod
    def _meet(states: States, others: list[States]) -> None:
        for b in {b for other in others for b in other}:
            states[b] = max([states.get(b, State.UNSET), *(other.get(b, State.UNSET) for other in others)])

    def _loop(self, s: For | While, states: States) -> Block:
        header = s.extent if isinstance(s, For) else s.cond
        first = self._computes(header, self._used(header), states)
        if first and isinstance(s, While):  # the moves would stand outside of the loop
            raise _CannotSayError(min(self._used(header), key=list(self.banks).index))
        head = dict(states)
        while True:
            loop, ends = _Loop(dict(head)), dict(head)
            body = self.block(s.body, ends, loop)
            self._meet(head, [ends, *loop.jumps])
            if head == loop.head:
                break
        before = self._reach(states, head)
        states.update(head)
        return (*first, *before, replace(s, body=(*body, *self._reach(ends, head))))

    def _choice(self, s: If, states: States, loop: _Loop | None) -> Block:
        """Sums that a side wants in registers are moved before it: as a rule both want them."""
        first = self._computes(s.cond, self._used(s.cond), states)
        ends = [dict(states), dict(states)]
        sides = [self.block(side, end, loop) for side, end in zip((s.then, s.orelse), ends)]
        meeting: States = {}
        self._meet(meeting, ends)
        wanted = frozenset(
            b for b, state in meeting.items() if state is State.IN_REGISTERS and states.get(b) is State.IN_BANK
        )
        if wanted:
            moves = self._computes(s, wanted, states)
            return (*first, *moves, *self._choice(s, states, loop))
        states.clear()
        states.update(meeting)
        then, orelse = ((*side, *self._reach(end, states)) for side, end in zip(sides, ends))
        return (*first, replace(s, then=then, orelse=orelse))

    def _used(self, e: Expr) -> frozenset[Buffer]:
        return frozenset(n for n in walk(e) if isinstance(n, Buffer) and n in self.banks)

    # ---- products

    def _product_of(self, s: Stmt) -> Buffer | None:
        """The buffer that a statement adds to if it consists of products into one bank's buffer alone."""
        if isinstance(s, For) and s.kind == Unrolled() and isinstance(s.extent, Const):
            found = {self._product_of(inner) for inner in s.body}
            return found.pop() if len(found) == 1 else None
        sums = _sums_of(s)
        return sums[0] if sums is not None and sums[0] in self.banks else None

    def _product(self, s: Stmt, states: States) -> Block:
        b = self._product_of(s)
        assert b is not None
        if states.get(b, State.UNSET) is not State.RUNNING:
            raise _CannotSayError(b)
        others = frozenset(
            n for call in _calls(s) for a in call.args[1:] for n in walk(a) if isinstance(n, Buffer) and n in self.banks
        )
        return (*self._computes(s, others, states), *self._called(s, b))

    def _called(self, s: Stmt, b: Buffer) -> Block:
        """A product with its banks. Loops over parts of the sums are written out: a bank is no variable."""
        if isinstance(s, For) and isinstance(s.extent, Const):
            if not any(n is s.var for call in _calls(s) for n in walk(call.args[0])):
                return (replace(s, body=tuple(x for inner in s.body for x in self._called(inner, b))),)
            trips = [{s.var: Const(k, s.var.dtype)} for k in range(int(s.extent.value))]
            turns = (substitute(inner, trip) for trip in trips for inner in s.body)
            return tuple(x for inner in turns for x in self._called(inner, b))
        assert isinstance(s, AtomCall) and isinstance(s.args[0], Address)
        first = folded(s.args[0].indices[0])
        bank = next((k for k in self.banks[b] if isinstance(first, Const) and first.value == k.first), None)
        if bank is None:
            raise _CannotSayError(b)
        return (BankCall(s, bank, span=s.span),)

    def _is_fresh(self, product: Stmt, b: Buffer) -> bool:
        """Whether all sums begin anew in it, whatever they were."""
        begins: dict[int, Expr] = {}
        for call in (x for s in self._called(product, b) for x in _at_first(s)):
            begins.setdefault(call.bank.number, rewrite(call.call.args[3], _fold))
        return len(begins) == len(self.banks[b]) and all(e == FALSE for e in begins.values())


def _fold(n: Node) -> Node:
    return fold(n) if isinstance(n, Expr) else n


def _jumps(s: Stmt) -> bool:
    return any(isinstance(x, Break | Continue) for x in (s, *statements(s)))


def _calls(s: Stmt) -> Iterator[AtomCall]:
    for x in (s, *statements(s)):
        if isinstance(x, AtomCall):
            yield x


def _at_first(s: Stmt) -> Iterator[BankCall]:
    """The calls of the first trip of all loops."""
    if isinstance(s, BankCall):
        yield s
    elif isinstance(s, For):
        for inner in s.body:
            yield from _at_first(substitute(inner, {s.var: Const(0, s.var.dtype)}))
