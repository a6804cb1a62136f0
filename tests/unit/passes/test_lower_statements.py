"""Statements between tile operations: views as other dtypes, printing, extern calls, control flow, errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tiledsl.cpu import interp
from tiledsl.errors import TileError, VerifyError
from tiledsl.ir.dtypes import FLOAT16, FLOAT32, HANDLE, INT32, UINT16, UINT32
from tiledsl.ir.layout import Digit, Fragment, fully_replicated, partition, row_major
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Assert,
    AtomicUpdate,
    Binary,
    Break,
    Buffer,
    Cast,
    Const,
    Evaluate,
    Extern,
    For,
    If,
    Kernel,
    Let,
    Load,
    Print,
    Space,
    Stmt,
    Store,
    Var,
    View,
    While,
    eq,
    lt,
)
from tiledsl.ir.swizzle import swizzled
from tiledsl.ir.tile import Copy, Parallel
from tiledsl.ir.walk import walk
from tiledsl.testing.tile_stage import BARRIER, agree, kernel, lowered, region, shared, tensor, tile, with_barriers


def nodes(k: Kernel) -> list[object]:
    return [n for s in k.launches[0].body for n in walk(s)]


def test_fragment_viewed_as_another_dtype() -> None:
    f = partition((16, 32), 32, 8)
    a, b = tensor("a", (16, 32), FLOAT16), tensor("b", (16, 32), UINT16)
    c, bits = tile("c", (16, 32), FLOAT16), tile("bits", (16, 32), UINT16)
    k = kernel([a, b], [Copy(region(a), region(c)), View(bits, c), Copy(region(bits), region(b))], {c: f, bits: f}, 32)
    k = without_alloc(k, bits)
    agree(k)


def without_alloc(k: Kernel, buffer: Buffer) -> Kernel:
    """The helper allocates every buffer that has a layout; a view is bound by its own statement."""
    launch = k.launches[0]
    body = tuple(s for s in launch.body if not (isinstance(s, Alloc) and s.buffer is buffer))
    return replace(k, launches=(replace(launch, body=body),))


def test_shared_viewed_as_another_dtype() -> None:
    """The words of a row-major tile, each of two elements."""
    a, b = tensor("a", (8, 32), FLOAT16), tensor("b", (128,), UINT32)
    s, words = shared("s", (8, 32), FLOAT16), shared("words", (128,), UINT32)
    body = [Copy(region(a), region(s)), View(words, s), Copy(region(words), region(b))]
    agree(kernel([a, b], body, {s: row_major((8, 32))}, 32))
    with pytest.raises(VerifyError, match="not row-major"):
        lowered(kernel([a, b], body, {s: swizzled((8, 32), 16, 64)}, 32))


def test_print_shows_every_element_once(capsys: pytest.CaptureFixture[str]) -> None:
    a, c, s = tensor("a", (2, 4), INT32), tile("c", (2, 4), INT32), shared("s", (2, 4), INT32)
    f, v = Fragment((2, 4), (Digit(4, 0), Digit(4, 1)), (Digit(2, 4),)), Buffer("v", (), INT32, Space.VAR)
    body: list[Stmt] = [
        Copy(region(a), region(c)),
        Copy(region(a), region(s)),
        BARRIER,
        Print("tile", buffer=c),
        Print("", buffer=s),
        Print("scalar", (Const(7, INT32),)),
        Alloc(v, Const(8, INT32)),
        Print("variable", buffer=v),
    ]
    k = lowered(kernel([a], body, {c: f, s: row_major((2, 4))}, 32))
    interp.run(with_barriers(k), {"a": np.arange(8, dtype=np.int32).reshape(2, 4)})
    lines = capsys.readouterr().out.splitlines()
    expected = [f"{i} {j} {4 * i + j}" for i in range(2) for j in range(4)]
    assert lines == [*(f"tile c {e}" for e in expected), *(f"s {e}" for e in expected), "scalar 7", "variable 8"]


def test_addresses_in_extern_calls() -> None:
    a, s = tensor("a", (8, 64), FLOAT16), shared("s", (8, 64), FLOAT16)
    call = Evaluate(Extern("use", (Address(s, (Const(3), Const(8))),), HANDLE))
    k = lowered(kernel([a], [Copy(region(a), region(s)), call], {s: swizzled((8, 64), 16)}, 32))
    (address,) = [n for n in nodes(k) if isinstance(n, Address)]
    assert address.buffer.shape == (512,) and address.indices == (Const(3 * 64 + ((1 ^ 3) * 8)),)


def test_extern_effects_happen_once_a_point() -> None:
    """F10: in a loop that also writes a replicated fragment, the calls alone are left to one replica."""
    c, i = tile("c", (8,), INT32), Var("i")
    call = Evaluate(Extern("use", (i,), HANDLE))
    for body in ((call,), (Store(c, (i,), Const(1, INT32)), call)):
        k = lowered(
            kernel(
                [], [Parallel((i,), (8,), body, layout=fully_replicated((8,), 32))], {c: fully_replicated((8,), 32)}, 32
            )
        )
        (branch,) = [n for n in nodes(k) if isinstance(n, If)]
        assert any(isinstance(n, Evaluate) for n in walk(branch))
        assert not any(isinstance(n, Store) for n in walk(branch))
    k = lowered(kernel([], [Evaluate(Extern("use", (), HANDLE))], {}, 32))
    assert not any(isinstance(n, If) for n in nodes(k))


def test_unused_fragments_vanish() -> None:
    a, c = tensor("a", (8,), INT32), tile("c", (8,), INT32)
    k = lowered(kernel([a], [Alloc(c), Store(a, (Const(0),), Const(1, INT32))], {}, 32))
    assert not any(isinstance(n, Alloc) for n in nodes(k))


def test_loops_and_branches_of_the_block() -> None:
    """While, break and branches on scalars; tile statements inside."""
    a, b, c = tensor("a", (4, 16), FLOAT32), tensor("b", (16,), FLOAT32), tile("c", (16,), FLOAT32)
    i, j, n = Var("i"), Var("j"), Buffer("n", (), INT32, Space.VAR)
    point = Var("p")
    add = Store(c, (point,), Binary("+", Load(c, (point,)), Load(a, (i, point))))
    body = [
        Copy(region(b), region(c)),
        For(i, Const(4), (If(eq(i, 2), (Break(),)), Parallel((point,), (16,), (add,), layout=partition((16,), 16, 1)))),
        Alloc(n, Const(0, INT32)),
        While(
            Binary("<", Load(n, ()), Const(3, INT32)),
            (
                Store(n, (), Binary("+", Load(n, ()), Const(1, INT32))),
                Assert(Binary("<", Load(n, ()), Const(4, INT32))),
            ),
        ),
        Copy(region(c), region(b)),
        For(j, Const(2), (Store(b, (j,), Cast(FLOAT32, Load(n, ()))),)),
    ]
    agree(kernel([a, b], body, {c: partition((16,), 16, 1)}, 32))


def test_store_of_the_block_to_a_fragment_is_its_owners() -> None:
    a, c = tensor("a", (16,), INT32), tile("c", (16,), INT32)
    f = Fragment((16,), (Digit(2, 0), Digit(8, 2)), (Digit(2, 1),))
    body = [Copy(region(a), region(c)), Store(c, (Const(5),), Const(9, INT32)), Copy(region(c), region(a))]
    out = agree(kernel([a], body, {c: f}, 16))
    assert out["a"][5] == 9


def test_reading_a_distributed_element_everywhere_is_refused() -> None:
    a, b, c = tensor("a", (16,), INT32), tensor("b", (16,), INT32), tile("c", (16,), INT32)
    x = Var("x", INT32)
    body = [Copy(region(a), region(c)), Let(x, Load(c, (Const(3),))), Store(b, (Const(0),), x)]
    with pytest.raises(VerifyError, match="distributed over the threads"):
        lowered(kernel([a, b], body, {c: partition((16,), 16, 1)}, 16))


def test_old_value_on_one_replica_is_refused() -> None:
    """F10: memory effects happen once, register effects in all owners, so the old value would be missing in some."""
    a, c = tensor("a", (8,), INT32), tile("c", (8,), INT32)
    i, old = Var("i"), Var("old", INT32)
    body = (AtomicUpdate("add", a, (i,), Const(1, INT32), result=old), Store(c, (i,), old))
    with pytest.raises(TileError) as raised:
        lowered(kernel([a], [Parallel((i,), (8,), body)], {c: fully_replicated((8,), 32)}, 32))
    assert raised.value.code == "TD0340"
    agree(kernel([a], [Parallel((i,), (8,), body)], {c: partition((8,), 8, 1)}, 32))


def test_threads_see_their_own_values() -> None:
    """What a variable holds for each thread is not stored by one of them for all."""
    t = Var("t")
    b, v, x = tensor("b", (32,), INT32), Buffer("v", (), INT32, Space.VAR), Var("x", INT32)
    body = [
        Alloc(v, Const(0, INT32)),
        If(lt(t, 10), (Store(v, (), Const(5, INT32)),)),
        Let(x, Binary("+", Load(v, ()), Const(1, INT32))),
        Store(b, (t,), x),
    ]
    out = agree(kernel([b], body, {}, 32, thread=t))
    assert out["b"].tolist() == [6] * 10 + [1] * 22
