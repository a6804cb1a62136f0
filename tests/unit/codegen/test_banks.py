"""Sums in banks: the statements with banks compute what they did, and sums are moved only where threads use them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiledsl.codegen.banks import BankCall, BankRead, in_banks
from tiledsl.codegen.cuda import emit
from tiledsl.ir.concurrent import Fence, Hold
from tiledsl.ir.dtypes import FLOAT32, INT32
from tiledsl.ir.fold import fold
from tiledsl.ir.nodes import (
    FALSE,
    TRUE,
    Address,
    AsyncCommit,
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
    Load,
    Serial,
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    eq,
    lt,
)
from tiledsl.ir.parser import parse
from tiledsl.ir.walk import rewrite, statements, substitute

ATOM, EACH = "wgmma_m64n64k16_f32_f16_ss", 32
ONE = Buffer("one", (EACH,), FLOAT32, Space.LOCAL)
TWO = Buffer("two", (2 * EACH,), FLOAT32, Space.LOCAL)  # the sums of two instructions
SEEN = Buffer("seen", (1,), FLOAT32, Space.GLOBAL)


def number(value: int) -> Const:
    return Const(value, INT32)


def product(b: Buffer, fresh: bool) -> Block:
    """Two steps along k; the first may forget what was there."""
    k, i = Var("k", INT32), Var("i", INT32)
    at: Expr = i * EACH if b is TWO else number(0)
    accumulate = lt(number(0), k) if fresh else TRUE
    body: Block = (AtomCall(ATOM, (Address(b, (at,)), number(0), number(0), accumulate)),)
    if b is TWO:
        body = (For(i, number(2), body, Unrolled()),)
    return (Hold(b), Fence("product"), For(k, number(2), body, Unrolled()), AsyncCommit("product"))


def wait(pending: int = 0) -> Block:
    done = () if pending else (ONE, TWO)
    return (AsyncWait(pending, "product"), *map(Hold, done))


def change(b: Buffer) -> Block:
    r = Var("r", INT32)
    store = Store(b, (r,), Load(b, (r,)) * Const(2.0, FLOAT32))
    return (For(r, number(EACH), (store,), Unrolled()),)


def look(b: Buffer) -> Block:
    return (Store(SEEN, (number(0),), Load(b, (number(0),))),)


def clear(b: Buffer) -> Block:
    r = Var("r", INT32)
    return (For(r, number(EACH), (Store(b, (r,), Const(0.0, FLOAT32)),), Unrolled()),)


# ------------------------------------------------------------------------------------------------ what they compute


class _Jump(Exception):
    def __init__(self, statement: Stmt) -> None:
        self.statement = statement


@dataclass
class Run:
    """The sums of an instruction as one value, in registers and in the bank, which no two histories have in common."""

    registers: dict[tuple[Buffer, int], float] = field(default_factory=dict)
    bank: dict[tuple[Buffer, int], float] = field(default_factory=dict)
    seen: list[float] = field(default_factory=list)
    products: int = 0

    def block(self, block: Block) -> Run:
        for s in block:
            self.statement(s)
        return self

    def statement(self, s: Stmt) -> None:
        match s:
            case For(var, extent, body, kind) if kind == Unrolled() and isinstance(body[0], Store):
                self.store(body[0])  # of all registers alike
            case For(var, Const(extent), body):
                for trip in range(int(extent)):
                    try:
                        self.block(tuple(substitute(inner, {var: number(trip)}) for inner in body))
                    except _Jump as jump:
                        if isinstance(jump.statement, Break):
                            break
            case If(cond, then, orelse):
                self.block(then if value_of(cond) else orelse)
            case Break() | Continue():
                raise _Jump(s)
            case AtomCall(_, args):
                assert isinstance(args[0], Address)
                self.multiply(self.registers, (args[0].buffer, value_of(args[0].indices[0]) // EACH), args[3])
            case BankCall(call, bank):
                self.multiply(self.bank, (bank.buffer, bank.first // EACH), call.args[3])
            case BankRead(bank):
                place = (bank.buffer, bank.first // EACH)
                self.registers[place] = self.bank.get(place, 0.5)
            case Store():
                self.store(s)

    def store(self, s: Store) -> None:
        if s.buffer is SEEN:
            assert isinstance(s.value, Load)
            self.seen += [self.registers.get((s.value.buffer, n), 0.5) for n in range(tiles(s.value.buffer))]
            return
        for n in range(tiles(s.buffer)):
            old = self.registers.get((s.buffer, n), 0.5)
            self.registers[s.buffer, n] = 0.0 if isinstance(s.value, Const) else 2 * old

    def multiply(self, where: dict[tuple[Buffer, int], float], place: tuple[Buffer, int], accumulate: Expr) -> None:
        self.products += 1
        where[place] = (where.get(place, 0.5) if value_of(accumulate) else 0.0) / 4 + self.products


def tiles(b: Buffer) -> int:
    return 2 if b is TWO else 1


def value_of(e: Expr) -> int:
    folded = rewrite(e, lambda n: fold(n) if isinstance(n, Expr) else n)
    assert isinstance(folded, Const), folded
    return int(folded.value)


BUFFERS = st.sampled_from((ONE, TWO))
LEAVES = st.one_of(
    st.builds(product, BUFFERS, st.booleans()),
    st.builds(lambda b: (*product(b, False), *wait()), BUFFERS),
    st.builds(lambda b: (*product(b, True), *wait(), *look(b)), BUFFERS),
    st.builds(lambda b: (*product(b, True), *wait(), *change(b), *look(b)), BUFFERS),
    st.just(wait()),
    st.builds(change, BUFFERS),
    st.builds(look, BUFFERS),
    st.builds(clear, BUFFERS),
    st.builds(lambda b: (*wait(), *look(b)), BUFFERS),
)


def joined(parts: list[Block]) -> Block:
    return tuple(s for part in parts for s in part)


def loop(extent: int, jump: int, kind: type[Stmt], before: Block, after: Block) -> Block:
    """`jump`: the trip that leaves between the two blocks (none if there is no such trip)."""
    v = Var("v", INT32)
    leave = (If(eq(v, number(jump)), (kind(),)),) if jump < 3 else ()
    return (For(v, number(extent), (*before, *leave, *after), Serial()),)


def grown(inner: st.SearchStrategy[Block]) -> st.SearchStrategy[Block]:
    small = st.lists(inner, max_size=3).map(joined)
    choice = st.builds(lambda c, a, b: (If(FALSE if c else TRUE, a, b),), st.booleans(), small, small)
    jumps = st.sampled_from((Break, Continue))
    return st.one_of(choice, st.builds(loop, st.integers(0, 3), st.integers(0, 5), jumps, small, small))


PROGRAMS = st.lists(st.recursive(LEAVES, grown, max_leaves=6), min_size=1, max_size=6).map(joined)


@settings(deadline=None, max_examples=300)
@given(PROGRAMS)
def test_the_statements_compute_what_they_did(program: Block) -> None:
    made, _ = in_banks(program)
    assert Run().block(made).seen == Run().block(program).seen


def test_programs_that_the_law_sees_have_banks_moves_and_refusals() -> None:
    counts = {"banks": 0, "refused": 0, "read": 0}

    @settings(deadline=None, max_examples=100, database=None, derandomize=True)
    @given(PROGRAMS)
    def count(program: Block) -> None:
        made, banks = in_banks(program)
        every = [s for outer in made for s in (outer, *statements(outer))]
        counts["banks"] += bool(banks)
        counts["refused"] += any(isinstance(s, AtomCall) for s in every)
        counts["read"] += any(isinstance(s, BankRead) for s in every)

    count()
    assert all(n >= 5 for n in counts.values()), counts


# ----------------------------------------------------------------------------------------------------- where they move


def shape(block: Block) -> list[object]:
    """Products, moves and waits in their order, what is in a loop as a list."""
    found: list[object] = []
    for s in block:
        match s:
            case BankCall(_, bank):
                found.append(f"product {bank.number}")
            case AtomCall(_, (Address(b), *_)):
                found.append(f"product {b.name}")
            case BankRead(bank):
                found.append(f"read {bank.number}")
            case AsyncWait(pending):
                found.append(f"wait {pending}")
            case Store(b):
                found.append(f"store {b.name}")
            case For():
                found.append(shape(s.body))
            case If():
                found.append((shape(s.then), shape(s.orelse)))
    return found


def turns(*body: Block) -> Block:
    return (For(Var("v", INT32), number(3), joined(list(body)), Serial()),)


PRODUCT, CHANGE = ["product 0"], ["store one"]
CASES: dict[str, tuple[Block, list[object]]] = {
    "a GEMM reads once": (
        (*product(ONE, True), *turns(product(ONE, False), wait(1)), *wait(), *look(ONE)),
        [PRODUCT, [PRODUCT, "wait 1"], "wait 0", "read 0", "store seen"],
    ),
    "sums that threads clear": (
        (*clear(ONE), *turns(product(ONE, False), wait(1)), *wait(), *look(ONE)),
        [CHANGE, [["product one"], "wait 1"], "wait 0", "store seen"],
    ),
    "an output that is rescaled": (
        (*product(ONE, True), *wait(), *turns(change(ONE), product(ONE, False), wait()), *look(ONE)),
        [["product one"], "wait 0", [CHANGE, ["product one"], "wait 0"], "store seen"],
    ),
    "sums of each trip that the next one reads": (
        (*product(ONE, True), *wait(), *turns(look(ONE), product(ONE, True), wait())),
        [PRODUCT, "wait 0", ["read 0", "store seen", PRODUCT, "wait 0"]],
    ),
    "scores begin anew": (
        turns(product(ONE, True), wait(), change(ONE)),
        [[PRODUCT, "wait 0", "read 0", CHANGE]],
    ),
    "loops over parts of the sums are written out": (
        (*product(TWO, True), *wait(), *look(TWO)),
        [["product 0", "product 1"], "wait 0", "read 0", "read 1", "store seen"],
    ),
    "sums in flight are nobody's": ((*product(ONE, True), *look(ONE)), [["product one"], "store seen"]),
    "a product without a fence": (
        (*(s for s in product(ONE, True) if not isinstance(s, Fence)), *wait(), *look(ONE)),
        [["product one"], "wait 0", "store seen"],
    ),
    "what a condition changes stays": (
        (*product(ONE, True), *wait(), If(TRUE, change(ONE))),
        [["product one"], "wait 0", ([CHANGE], [])],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_where_sums_move(name: str) -> None:
    program, expected = CASES[name]
    assert shape(in_banks(program)[0]) == expected


def test_the_law_sees_a_read_that_is_missing() -> None:
    program, _ = CASES["scores begin anew"]
    program += look(ONE)
    made, _ = in_banks(program)

    def without(block: Block) -> Block:
        kept = (s for s in block if not isinstance(s, BankRead))
        return tuple(replace(s, body=without(s.body)) if isinstance(s, For) else s for s in kept)

    assert Run().block(made).seen == Run().block(program).seen != Run().block(without(made)).seen


def test_the_text_names_the_bank_and_its_parts() -> None:
    kernel = parse("""
kernel k(C: global float32[64]) {
  launch k(bx: int32 in int32(1)) threads(t: int32 in 128) shared_bytes(4096) {
    slot S = 0
    alloc S: shared float16[2048]
    alloc acc: local float32[64]
    hold acc
    fence(kind=product)
    for i: int32 in int32(2) unrolled {
      atom wgmma_m64n64k16_f32_f16_ss(&acc[i * 32], descriptor(S[0], 16, 1024, 128), descriptor(S[0], 0, 0, 0), false)
    }
    async_commit(queue=product)
    async_wait(pending=0, queue=product)
    hold acc
    C[t % 64] = acc[33]
  }
}""")
    text = emit(kernel).text
    for line in (
        "tds::Bank<0, 32> acc_bank;",
        "tds::Bank<1, 32> acc_bank_1;",
        "tds::wgmma_m64n64k16_f32_f16_ss_banked(acc_bank_1, ",
        "tds::bank_read(acc_bank_1, tds::view<float>(acc) + 32);",
    ):
        assert line in text
    assert "wgmma_hold" not in text
    assert emit(kernel).functions.count("Bank") == 1
