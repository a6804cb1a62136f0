"""Each kind of violation is caught, and only those: a table of broken kernels next to what `verify` says about them."""

from __future__ import annotations

import time

import pytest

from tiledsl.errors import VerifyError
from tiledsl.ir import dtypes, nodes, tile
from tiledsl.ir.layout import Digit, Fragment
from tiledsl.ir.nodes import Alloc, Barrier, Binary, Buffer, Const, Kernel, Launch, Let, Load, Space, Store, Var, View
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify

HEAD = (
    "kernel k<m>(A: global float32[8, 8], B: global float16[m, 8], I: global float32[m, 4, 4, 8], "
    "f: float32, c: bool, n: int32) {{\n{launches}\n}}"
)
LAUNCH = "launch main(b in 1) threads(t in 32) shared_bytes(64) {{\n{tables}\n{allocs}\n{body}\n}}"
ALLOCS = """
alloc S: shared float32[8, 8]
alloc V: shared float32[8, 8] versions(2)
alloc F: fragment float32[8, 8]
alloc R: fragment float32[8]
alloc L: local float32[8]
alloc x: var float32
"""

IM2COL = "copy im2col"


def kernel(body: str = "", tables: str = "", allocs: str = ALLOCS) -> Kernel:
    return parse(HEAD.format(launches=LAUNCH.format(tables=tables, allocs=allocs, body=body)))


WELL_FORMED = [
    "A[0, n] = f",
    "x = x + S[b, t]",
    "V@0[0, 0] = V@(b % 2)[0, 0]",
    "let y: int32 = n + int32(1)",
    "copy B[0 : 8, 0 : 8] -> S",
    "copy A[0, 0 : 8] -> R",
    "copy V@1 -> F",
    IM2COL + "(kernel=3, stride=1, dilation=2, pad=1) I[t * 8 : 8, b : 8] -> S",
    IM2COL + "(kernel=1, stride=3, dilation=1, pad=0) I[t, b : 8] -> R",
    "gemm F, S, F",
    "reduce(sum, dim=1) F -> R",
    "reduce(sum, dim=0) F -> S[0, 0 : 8]",
    "transpose F -> S",
    "atomic(add) F -> A",
    "fill L, f",
    "view W: shared uint32[64] of S",
    "move(lanes=4) S[t, 0] -> L[0]",
    "let old: float32 = atomic_update(add) A[0, 0], f\nx = old",
    "while c { if c { break } continue }",
    "parallel i in 8 { for j in 8 { break } }",
    "let p: bool = c | not c and A[0, 0] < f",
    "async S[0, 0] = A[t, 0]",
    "let u: uint32 = bits<uint32>(f)",
    'evaluate extern<int32>("f", &S[0, 0], handle(0))',
    "barrier(id=15, count=64)",
]

BROKEN = {
    # ---- ranks and versions
    "'A' has rank 2 but is accessed with 1 indices": "A[0] = f",
    "'S' has rank 2 but is accessed with 3 indices": "x = S[0, 0, 0]",
    "rank 2 but is accessed with 1 ind": "copy A[0 : 8] -> R",
    "2 version(s), the access names none": "V[0, 0] = f",
    "1 version(s), the access names one": "S@0[0, 0] = f",
    "version(s), the access names none": "copy V -> F",
    "longer than the buffer: 9 > 8": "fill S[0, 0 : 9], f",
    "has the extent 0": "fill S[0, 0 : 0], f",
    # ---- dtypes
    "the operands of '+' are index and int32": "let y = b + int32(1)",
    "the operands of '<' are float32 and index": "assume f < b",
    "an index is float32": "A[f, 0] = f",
    "a version is bool": "V@(c)[0, 0] = f",
    "the value stored to 'A' is index, not float32": "A[0, 0] = b",
    "the value of 'y' is float32, not index": "let y = f",
    "the condition of if is int32": "if n { }",
    "the condition of while is index": "while 1 { }",
    "the condition of Assert is float32": "assert f",
    "the condition of Assume is index": "assume 0",
    "the condition of select is index": "x = select(b, f, f)",
    "the sides of select are float32 and index": "x = select(c, f, b)",
    "the operands of 'and' are int32": "assume n and n",
    "the operands of '<<' are float32": "x = f << f",
    "the operands of '/' are int32": "let y: int32 = n / n",
    "'not' does not apply to int32": "assume not n",
    "'-' does not apply to bool": "assume -c",
    "'~' does not apply to float32": "x = ~f",
    "'exp' does not apply to int32": "let y: int32 = exp(n)",
    "'popcount' does not apply to float32": "let y: int32 = popcount(f)",
    "'fma' does not apply to float32, float32, index": "x = fma(f, f, 1)",
    "'shfl_xor' does not apply to float32, float32": "x = shfl_xor(f, f)",
    "the bits of float32 are none of uint16": "let y: uint16 = bits<uint16>(f)",
    "the bits of index are none of uint64": "let y: uint64 = bits<uint64>(t)",
    "an address cannot be cast": "let y: int64 = cast<int64>(&A[0, 0])",
    "'+' is no operation on addresses": "evaluate &A[0, 0] + &A[0, 0]",
    "300 is no uint8": "let y: uint8 = uint8(300)",
    "the extent of the loop over 'i' is float32": "for i in f { }",
    "the loop variable 'i' is float32": "for i: float32 in f { }",
    "a grid extent is float32": ("launch main(b in f) threads(t in 32) { }",),
    "the safe value of 'A' is index": ("", "safe A = b"),
    "'F' is handed over, but is no shared tile": ("", "handover(2) F"),
    "'A' is handed over, but is no shared tile": ("", "handover(2) S, A"),
    "a tile is handed over twice in 'main'": ("", "handover(2) S\nhandover(1) S"),
    "a handover of 1 tiles in 0 versions": ("", "handover(0) S"),
    # ---- memories
    "global buffer 'G' cannot be allocated": "alloc G: global float32[8]",
    "shared memory and has a dynamic extent": "alloc G: shared float32[m]",
    "barrier 'G' is int32": "alloc G: barrier int32[1]",
    "variable 'G' has the shape": "alloc G: var int32[1]",
    "no variable but has an initial value": "alloc G: local float32[1] = f",
    "the initial value of 'G' is float32": "alloc G: var int32 = f",
    "'G' has the shape (8, 0)": "alloc G: shared float32[8, 0]",
    "'G' cannot have the strides": "alloc G: shared float32[8] strides(1)",
    "var memory and has 2 versions": "alloc G: var float32 versions(2)",
    "barrier 'G' cannot be read": "alloc G: barrier uint64[1]\nlet y: uint64 = G[0]",
    "barrier 'G' cannot be written": "alloc G: barrier uint64[1]\nG[0] = uint64(0)",
    "'G' has 512 bits, 'S' has 2048": "view G: shared float32[16] of S",
    "which is in another memory or has other versions": "view G: local float32[64] of S",
    "'W' is a parameter or scratch, but in shared memory": ("scratch W: shared float32[8]",),
    "this operand must be shared or fragment": "reduce(sum, dim=1) A -> R",
    "this operand must be fragment": "gemm F, S, S",
    "this operand must be global or shared": "atomic(add) F -> F",
    "an asynchronous copy goes from global to shared": "async copy S -> F",
    "an asynchronous store copies from global to shared": "async S[0, 0] = f",
    "a move from shared to shared memory": "move(lanes=4) S[0, 0] -> S[4, 0]",
    "no atomic operations there": "atomic_update(add) L[0], f",
    # ---- operators
    "unknown atomic operation 'sub'": "atomic_update(sub) A[0, 0], f",
    "unknown atomic operation 'xor' on a tile": "atomic(xor) F -> S",
    "unknown reduction 'product'": "reduce(product, dim=0) F -> R",
    "no scan 'min'": "scan(min, dim=0) F -> F",
    "policy 'diagonal'": "gemm(policy=diagonal) F, S, F",
    # ---- shapes
    "gemm of (8, 8) by (8, 4) into (8, 8)": "gemm F, S[0 : 8, 0 : 4], F",
    "gemm of (4, 8) by (8, 8) into (8, 8)": "gemm(transpose_a) S[0 : 8, 0 : 4], S, F",
    "operand a of gemm has the extents (8,)": "gemm R, S, F",
    "a copy of (8,) and (8, 8)": "copy A[0, 0 : 8] -> S",
    "reduction of (8, 8) along 2 to (8,)": "reduce(sum, dim=2) F -> R",
    "reduction of (8, 8) along 0 to (8, 8)": "reduce(sum, dim=0) F -> S",
    "a scan of (8, 8) and (8,)": "scan(sum, dim=0) F -> R",
    "a transpose of (4, 8) and (8, 8)": "transpose F[0 : 8, 0 : 4] -> S",
    "an atomic update of (8,) and (8, 8)": "atomic(add) R -> S",
    "'A' is no image N, H, W, C": IM2COL + "(kernel=3, stride=1, dilation=1, pad=0) A[b : 8, b : 8] -> S",
    "the image of im2col must be global": IM2COL + "(kernel=3, stride=1, dilation=1, pad=0) S[b : 8, b : 8] -> F",
    "a filter of 3 taps, stride 0": IM2COL + "(kernel=3, stride=0, dilation=1, pad=0) I[b : 8, b : 8] -> S",
    "a filter of 3 taps, stride 1, dilation 1 and padding -1": IM2COL
    + "(kernel=3, stride=1, dilation=1, pad=-1) I[b : 8, b : 8] -> S",
    "reaches over 5 pixels and 'I' is 4 x 4": IM2COL + "(kernel=3, stride=1, dilation=2, pad=0) I[b : 8, b : 8] -> S",
    "of a matrix at 1 offsets": IM2COL + "(kernel=3, stride=1, dilation=1, pad=0) I[b : 8] -> S",
    "an offset of im2col is int32": IM2COL + "(kernel=3, stride=1, dilation=1, pad=0) I[n : 8, b : 8] -> S",
    "a copy of (4, 8) and (8, 8)": IM2COL + "(kernel=3, stride=1, dilation=1, pad=0) I[b : 4, b : 8] -> S",
    # ---- control
    "Break is in no loop": "break",
    "Continue is in no loop": "parallel i in 8 { continue }",
    "Break is in no loop ": "for i in 8 { parallel j in 8 { break } }",
    "Copy works on whole tiles": "parallel i in 8 { copy F -> S }",
    "has no constant extent": "for i in m vectorized { }",
    "no barrier 16": "barrier(id=16)",
    "for 33 threads": "barrier(id=1, count=33)",
    "a wait for -1 pending": "async_wait(pending=-1)",
    "a move of 3 lanes": "move(lanes=3) S[0, 0] -> L[0]",
    "a move of 16 lanes": "move(lanes=16) S[0, 0] -> L[0]",
    "Parallel with 1 variables over (0,)": "parallel i in 0 { }",
    "Parallel over (8,) has a layout of (4,)": "parallel i in 8 layout fragment[4] threads(4:1) regs() { }",
    # ---- tables
    "there is a layout for 'A', which 'main' does not allocate": (
        "",
        "layout A = shared[8, 8] dims([8:8], [8:1]) size(64)",
    ),
    "'F' has shape (8, 8), its layout (8,)": ("", "layout F = fragment[8] threads(8:1) regs()"),
    "'S' is in shared memory and has a Fragment": ("", "layout S = fragment[8, 8] threads(8:1) regs(8:8)"),
    "a buffer is twice in one table": ("", "slot R = 0\nslot R = 0"),
    "there is a place for 'F', which is no shared buffer": ("", "slot F = 0"),
    "'S' lies at 0 to 256 of 64 bytes": ("", "slot S = 0"),
    "a launch with (40, 20) registers": ("launch main(b in 1) threads(t in 32) registers(40, 20) { }",),
    "a launch with (40,) registers": ("launch main(b in 1) threads(t in 32) registers(40) { }",),
    "two launches have one name": (
        "launch main(b in 1) threads(t in 32) { }\nlaunch main(b in 1) threads(t in 32) { }",
    ),
    "no block of threads": ("launch main(b in 1) threads(t in 0) { }",),
    "a grid of 0 extents": ("launch main() threads(t in 32) { }",),
}


def build(case: str | tuple[str, ...]) -> Kernel:
    match case:
        case str():
            return kernel(case)
        case ("", tables):
            return kernel(tables=tables)
        case (launches,):
            return parse(HEAD.format(launches=launches))
    raise AssertionError(case)


@pytest.mark.parametrize("body", WELL_FORMED)
def test_accepts(body: str) -> None:
    verify(kernel(body))


@pytest.mark.parametrize(("reason", "case"), BROKEN.items())
def test_rejects(reason: str, case: str | tuple[str, ...]) -> None:
    with pytest.raises(VerifyError) as caught:
        verify(build(case))
    assert reason.strip() in caught.value.message
    assert caught.value.code == "TD0001"
    assert caught.value.span.line > 0


# ---- what the text cannot say, because the parser resolves names

A = Buffer("A", (8,), dtypes.FLOAT32)
S = Buffer("S", (8,), dtypes.FLOAT32, Space.SHARED)
X, Y = Var("x"), Var("y")
ONE = Const(1.0, dtypes.FLOAT32)
HALF = Fragment((8,), (Digit(8, 1),), ())


def launched(*body: nodes.Stmt, params: tuple[nodes.Param, ...] = (A,), **facts: object) -> Kernel:
    launch = Launch("main", (Const(1),), (Var("b"),), (32,), Var("t"), body, **facts)  # type: ignore[arg-type]
    return Kernel("k", params, (launch,))


BUILT = {
    "'x' is used before it is bound": launched(Let(Y, X), Let(X, Const(1))),
    "'x' is used outside its scope": launched(nodes.For(X, Const(4), ()), Let(Y, X)),
    "'y' is used outside its scope": launched(nodes.If(nodes.TRUE, (Let(Y, Const(1)),)), Let(X, Y)),
    "'y' is used outside its  scope": launched(tile.Parallel((Y,), (8,), ()), Let(X, Y)),
    "'x' is bound twice": launched(Let(X, Const(1)), Let(X, Const(2))),
    "'x' is bound  twice": launched(nodes.For(X, Const(4), ()), nodes.For(X, Const(4), ())),
    "'S' is bound twice": launched(Alloc(S), View(S, A)),
    "buffer 'S' is used before it is bound": launched(Store(S, (Const(0),), ONE)),
    "buffer 'S' is used outside its scope": launched(nodes.If(nodes.TRUE, (Alloc(S),)), Store(S, (Const(0),), ONE)),
    "buffer 'S' is  used before it is bound": launched(View(Buffer("V", (8,), dtypes.FLOAT32, Space.SHARED), S)),
    "'A' is bound twice": launched(params=(A, A)),
    "unknown operator '**'": launched(Let(X, Binary("**", Const(1), Const(2)))),
    "unknown operator '!'": launched(Let(X, nodes.Unary("!", Const(2)))),
    "unknown function 'frobnicate'": launched(Let(X, nodes.Call("frobnicate", (Const(1),)))),
    "'fma' takes 3 arguments, not 1": launched(Let(X, nodes.Call("fma", (Const(1),)))),
    "1.5 is no index": launched(Let(X, Const(1.5))),
    "True is no int32": launched(Let(Var("i", dtypes.INT32), Const(True, dtypes.INT32))),
    "1 is no bool": launched(nodes.Assume(Const(1, dtypes.BOOL))),
    "1 offsets and 2 extents": launched(tile.Fill(nodes.Region(A, (Const(0),), (8, 1)), ONE)),
    "1 extents with 0 block indices": Kernel("k", (), (Launch("m", (Const(1),), (), (32,), Var("t"), ()),)),
    "the result 'S' is no parameter": Kernel("k", (A,), (), results=(S,)),
    "the size 'f' is float32": Kernel("k", (), (), sizes=(Var("f", dtypes.FLOAT32),)),
    "the extent 4 as an expression": Kernel("k", (Buffer("B", (Const(4),), dtypes.FLOAT32),), ()),
    "'x' is used  before it is bound": Kernel("k", (Buffer("B", (X,), dtypes.FLOAT32),), ()),
    "Parallel with 1 variables over (4, 4)": launched(tile.Parallel((X,), (4, 4), ())),
    "'old' is index": launched(nodes.AtomicUpdate("add", A, (Const(0),), ONE, result=Var("old"))),
    "which 'main' does not allocate": launched(layouts=(nodes.Assigned(S, HALF),)),
    "buffer 'S' is used  before it is bound": launched(safe_values=(nodes.SafeValue(S, ONE),)),
    "the block or thread index 'b' is bool": Kernel(
        "k", (), (Launch("m", (Const(1),), (Var("b", dtypes.BOOL),), (32,), Var("t"), ()),)
    ),
}


@pytest.mark.parametrize(("reason", "broken"), BUILT.items())
def test_rejects_nodes(reason: str, broken: Kernel) -> None:
    with pytest.raises(VerifyError) as caught:
        verify(broken)
    assert " ".join(reason.split()) in caught.value.message


def test_the_error_has_the_place_of_the_innermost_statement() -> None:
    with pytest.raises(VerifyError) as caught:
        verify(kernel("for i in 8 {\n  if c {\n    A[0] = f\n  }\n}"))
    assert str(caught.value.span) == "<text>:14:5"


def test_it_takes_milliseconds() -> None:
    """It runs after every pass: a thread-stage body of 2000 expression nodes takes a few milliseconds."""
    i = Var("i")
    value: nodes.Expr = Load(A, (i % 8,))
    for _ in range(20):
        value = Binary("+", value, Load(A, ((i * 3 + 1) % 8,)))
    k = launched(*(nodes.For(Var("j"), Const(4), (Store(A, (i,), value), Barrier())) for _ in range(10)))
    k = nodes.Kernel("k", (A, i), k.launches)
    verify(k)
    start = time.process_time()
    verify(k)
    assert time.process_time() - start < 0.05
