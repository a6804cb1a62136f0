"""The text of every kind of node, the errors of the parser, and stability of names across processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tiledsl.errors import TileError
from tiledsl.ir import concurrent, dtypes, nodes, tile
from tiledsl.ir.layout import row_major
from tiledsl.ir.literals import layout_text
from tiledsl.ir.names import KEYWORDS, Names
from tiledsl.ir.nodes import Binary, Buffer, Const, Expr, Kernel, Let, Load, Node, Unary, Var
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same, walk

EVERY_NODE = (Path(__file__).parents[2] / "golden" / "text" / "every_node.tir").read_text()

LAUNCH = "kernel k({params}) {{ launch main(b in 1) threads(t in 32) {{\n{body}\n}} }}"


def kernel_text(body: str, params: str = "A: global float32[8, 8], n: int32") -> str:
    return LAUNCH.format(params=params, body=body)


def test_the_text_of_every_node_is_a_fixed_point() -> None:
    kernel = parse(EVERY_NODE)
    verify(kernel)
    assert text(kernel) == EVERY_NODE
    assert same(parse(text(kernel)), kernel)


def test_that_text_has_every_node() -> None:
    def below(kind: type) -> set[str]:
        """By name, as dataclasses with slots exist twice; those of the parser's own files left out."""
        own = {kind.__name__} if kind.__module__ in (m.__name__ for m in (nodes, tile, concurrent)) else set()
        return own.union(*map(below, kind.__subclasses__()))

    everything = below(Node) - {"Node", "Expr", "Stmt", "Rearrangement"}
    assert everything - {type(n).__name__ for n in walk(parse(EVERY_NODE))} == set()


def test_statements_and_expressions_print_alone() -> None:
    a, x = Buffer("A", (4,), dtypes.FLOAT32), Var("x")
    assert text(x * 2 + 1) == "x * 2 + 1"
    assert text(Load(a, (x,))) == "A[x]"
    assert text(tile.Fill(nodes.Region(a, (Const(0),), (4,)), Const(0.0, dtypes.FLOAT32))) == "fill A, 0.0"
    launch = parse(EVERY_NODE).launches[0]
    assert text(launch).startswith("launch main(bx in (m + 127) // 128")


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (Unary("-", Const(5)), "-(5)"),
        (Const(-5), "-5"),
        (Const(1) - (Const(2) - Const(3)), "1 - (2 - 3)"),
        ((Const(1) - Const(2)) - Const(3), "1 - 2 - 3"),
        (Unary("not", nodes.lt(1, 2)), "not (1 < 2)"),
        (nodes.eq(nodes.lt(1, 2), nodes.lt(3, 4)), "(1 < 2) == (3 < 4)"),
        (Binary("min", Const(1), Const(2)), "min(1, 2)"),
        (Const(float("nan"), dtypes.FLOAT8_E4M3), "float8_e4m3fn(nan)"),
        (Const(0.1, dtypes.FLOAT32), "float32(0.1)"),
        (Const(-0.0, dtypes.FLOAT64), "float64(-0.0)"),
        (Const(True, dtypes.BOOL), "true"),
        (Binary("*", Var("x", dtypes.FLOAT32), Const(0.5, dtypes.FLOAT32)), "x * 0.5"),
        (Binary("*", Const(2, dtypes.INT32), Var("x", dtypes.INT32)), "2 * x"),
        (Binary("max", Var("x", dtypes.FLOAT16), Const(float("-inf"), dtypes.FLOAT16)), "max(x, float16(-inf))"),
        (Binary("+", Const(1, dtypes.INT32), Const(2, dtypes.INT32)), "int32(1) + int32(2)"),
        (Binary("+", Const(1), Const(2)), "1 + 2"),
        (Binary("+", Var("x", dtypes.INT32), Const(2)), "x + index(2)"),
        (nodes.Select(nodes.TRUE, Var("x", dtypes.INT8), Const(2, dtypes.INT8)), "select(true, x, 2)"),
    ],
)
def test_spelling(expr: Expr, expected: str) -> None:
    assert text(expr) == expected


def test_names_are_unique_identifiers_and_no_keywords() -> None:
    names = Names()
    hints = ["x", "x", "x_1", "for", "float16", "größe", "", "2d", "x"]
    variables = [Var(h) for h in hints]
    chosen = [names.of(v) for v in variables]
    assert chosen == ["x", "x_1", "x_1_1", "for_1", "float16_1", "gr__e", "_", "_2d", "x_2"]
    assert [names.of(v) for v in variables] == chosen
    assert not KEYWORDS & set(chosen)


def test_hints_do_not_matter_for_equality() -> None:
    a, b = parse(EVERY_NODE), parse(EVERY_NODE.replace("As", "tile_of_a").replace("acc", "sums"))
    assert same(a, b)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("versions(3)", "versions(4)"),
        ("float16(-inf)", "float16(inf)"),
        ("swizzle(3, 3, 3)", "swizzle(2, 3, 3)"),
        ("threads(128:8)", "threads(128:4)"),
        ("stages=3", "stages=2"),
        ("panel=8", "panel=4"),
        ("slot As = 0", "slot As = 16"),
        ("saturate>", "rn>"),
        ("extern<float32, pure>", "extern<float32>"),
        ("exp2", "exp2"),
        ("-> C, A {", "-> A, C {"),
        ("A[t, v]", "A[v, t]"),
        ("acc -> acc", "acc -> C"),
        ("strides(m * 2, 1)", "strides(m, 1)"),
        ("n is small", "n is big"),
        ("registers=40", "registers=48"),
        ("registers(40, 232)", "registers(40, 240)"),
        (", engine=threads", ""),
        ("first=128, threads=256", "first=128, threads=128"),
        ("by=warpgroups", "by=warps"),
        ("await(by=one)", "await"),
        ("arrive(copies)", "arrive"),
        ("of S, P", "of P, S"),
        ("= 1\n    alloc empty", "= 2\n    alloc empty"),
        ("ranks=3) A[b", "ranks=1) A[b"),
        ("ranks=3) empty", "ranks=1) empty"),
        ("part=wait", "part=arrive"),
        ("box=[128, 32], add", "box=[128, 32], xor"),
        ("box=[128, 32], add", "box=[64, 32], add"),
        ("swizzle=128", "swizzle=64"),
        ("S@0[0, 0] on full[0]", "S@0[0, 0] on full[1]"),
        ("S@0[0, 0], 16, 1024, 128", "S@0[0, 0], 32, 1024, 128"),
        ("async gemm", "gemm"),
        ("bulk atomic", "atomic"),
        ("queue=store, sources", "queue=store"),
        ("async_commit(queue=product)", "async_commit"),
        ("count=232, increase", "count=232"),
        ("kind=async_proxy", "kind=product"),
    ],
)
def test_every_compared_field_is_in_the_text(old: str, new: str) -> None:
    """A changed field gives another kernel; equal text gives an equal one."""
    changed = parse(EVERY_NODE.replace(old, new))
    assert same(changed, parse(EVERY_NODE)) is (old == new)
    assert (text(changed) == EVERY_NODE) is (old == new)


def test_same_matches_variables_one_to_one() -> None:
    x, y, z = Var("x"), Var("y"), Var("z")
    assert same(x + y, y + z)
    assert not same(x + x, x + y)
    assert not same(x + y, x + x)
    assert not same(x, Var("x", dtypes.INT32))
    assert not same(Const(0.0, dtypes.FLOAT32), Const(-0.0, dtypes.FLOAT32))
    assert same(Const(float("nan"), dtypes.FLOAT32), Const(float("nan"), dtypes.FLOAT32))


def test_a_name_may_be_bound_again_after_its_block() -> None:
    kernel = parse(kernel_text("for i in 4 { A[i, 0] = float32(1.0) }\nfor i in 8 { A[0, i] = float32(2.0) }"))
    verify(kernel)
    assert "for i_1 in 8 {" in text(kernel)


def test_comments_and_layout_of_the_text_do_not_matter() -> None:
    a = parse(kernel_text("let x = 1 + # one\n 2\n\n\tA[x,x]=float32(1.0)"))
    assert same(a, parse(kernel_text("let x = 1 + 2 A[x, x] = float32(1.0)")))


def test_spans_point_into_the_text() -> None:
    body = parse(kernel_text("  let x = 1\n  let y = x"), "some.tir").launches[0].body
    assert [str(s.span) for s in body] == ["some.tir:2:3", "some.tir:3:3"]
    assert isinstance(body[1], Let) and body[1].span.end_col == 11


ERRORS = {
    "TD0701 3:1": "let x = ",
    "TD0701 2:7": "let x ? 5",
    "TD0702 2:9": "let x = y",
    "TD0702 2:1": "B[0] = 1",
    "TD0702 2:6": "copy B -> A",
    "TD0703 2:13": "let x = 1   let x = 2",
    "TD0704 2:9": "let x = foo(1)",
    "TD0704 2:21": "for i in 3 unrolled(times=2) { }",
    "TD0704 2:6": "copy(wide) A -> A",
    "TD0704 2:28": "let x: int32 = cast<int32, up>(1)",
    "TD0705 2:1": "async_wait",
    "TD0707 2:9": "let x = min(1)",
    "TD0721 2:1": "async_wait(pending=no)",
    "TD0721  2:1": "async_wait(pending)",
    "TD0721  2:9": "barrier for i in 3 pipelined(order=2) { }",
    "TD0721 2:9": "barrier for i in 3 pipelined(group=[1]) { }",
    "TD0701  2:7": 'print "\\q"',
    "TD0708 2:1": "let x = 0.5",
    "TD0708  2:1": "let x: int32 = n + 0.5",
}


@pytest.mark.parametrize(("place", "body"), ERRORS.items())
def test_errors_have_code_and_place(place: str, body: str) -> None:
    with pytest.raises(TileError) as caught:
        parse(kernel_text(body), "broken.tir")
    e = caught.value
    found = f"{e.code} {e.span.line}:{e.span.col + 1}"
    assert found == " ".join(place.split())
    assert "^" in str(e)  # the line is quoted although no file has it


def test_a_table_that_names_an_ambiguous_buffer() -> None:
    body = "safe B = float32(1.0)\nif true { alloc B: shared float32[4] } else { alloc B: shared float32[4] }"
    with pytest.raises(TileError) as caught:
        parse(kernel_text(body))
    assert caught.value.code == "TD0706"


def test_the_end_of_the_text_is_named() -> None:
    with pytest.raises(TileError, match="the end of the text cannot stand here"):
        parse("kernel k(")


def test_layout_text() -> None:
    assert layout_text(row_major((4, 8), pad=2)) == "shared[4, 8] dims([4:10], [8:1]) size(40)"


def test_every_word_of_the_grammar_is_reserved() -> None:
    grammar = (Path(nodes.__file__).parent / "grammar.lark").read_text()
    words = set(re.findall(r'"([a-z_0-9]+)"', grammar))
    after_colon_or_bracket = {"dims", "regs", "size", "swizzle"}  # only inside layouts: no name can stand there
    assert words - KEYWORDS - after_colon_or_bracket == set()


def test_four_times_the_lines_are_four_times_the_work() -> None:
    """Counted in calls of functions, for time says little on a machine with other work."""

    def calls(count: int) -> int:
        lines = (f"A[t % 8, {i} % 8] = A[{i} // 8, t * 2 + {i}] * float32(2.0) + float32({i}.5)" for i in range(count))
        source, found = kernel_text("\n".join(lines)), [0]

        def see(frame: object, event: str, value: object) -> None:
            found[0] += event == "call"

        parse(source)  # builds the parser, once
        sys.setprofile(see)
        try:
            parse(source)
        finally:
            sys.setprofile(None)
        return found[0]

    assert 1000 < calls(300) < 4.5 * calls(75)


_CHILD = """
import sys
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
sys.stdout.write(text(parse(sys.stdin.read())))
"""


@pytest.mark.parametrize("seed", ["0", "12345"])
def test_text_is_the_same_under_any_hash_seed(seed: str) -> None:
    root = str(Path(nodes.__file__).parents[2])
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root, "PYTHONIOENCODING": "utf-8"}
    ran = subprocess.run(
        [sys.executable, "-c", _CHILD], input=EVERY_NODE, env=env, capture_output=True, text=True, check=True
    )
    assert ran.stdout == EVERY_NODE


def test_printing_needs_no_lark() -> None:
    code = "import sys, tiledsl.ir.printer, tiledsl.ir.verify; assert not {'lark', 'numpy'} & set(sys.modules)"
    root = str(Path(nodes.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, check=True)


def test_an_ill_formed_kernel_can_be_printed() -> None:
    """VerifyError shows the IR, so the printer takes anything."""
    launch = nodes.Launch("l", (), (), (), Var("t"), (Let(Var("x"), Binary("??", Var("y"), nodes.Call("no", ()))),))
    assert "let x = " in text(Kernel("k", (), (launch,)))
