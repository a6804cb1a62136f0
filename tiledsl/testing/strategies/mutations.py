"""Programs that are almost right: source text, IR text and IR with a few things changed at random."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from hypothesis import strategies as st

import tiledsl.language as T
from tiledsl.ir.dtypes import DTYPES
from tiledsl.ir.nodes import Buffer, Const, Expr, Kernel, Node, Stmt, Var
from tiledsl.ir.printer import text
from tiledsl.ir.walk import map_children, walk
from tiledsl.testing.strategies.sources import SOURCES
from tiledsl.testing.strategies.tile_kernels import Options, tile_kernels

Pick = Callable[[Any], Any]

# ------------------------------------------------------------------------------------------------------ Python sources

WORDS = [name for name in T.__all__ if not name.startswith("_")]
ODD = [
    "None", "-1", "0", "1.5", "'text'", "[]", "(1, 2)", "10**12", "True", "lambda x: x", "float('nan')", "{}", "T",
    "...", "T.float16", "'int32'", "range(3)", "[1, 2]", "print", "b'x'", "1j", "(i for i in range(2))", "2**70",
    "-2**63", "slice(1)", "T.infinity('float32')", "{1: 2}", "f'{1}'", "T.Tensor((2,), 'int8')", "object()",
]  # fmt: skip
STATEMENTS = [
    "pass", "return", "return 1", "yield 1", "del x", "global G", "nonlocal x", "import os", "assert True, 'x'",
    "raise ValueError('mine')", "try:\n    pass\nfinally:\n    pass", "with open('x') as f:\n    pass", "x: int = 1",
    "class C:\n    pass", "def f():\n    return 1", "async def f():\n    pass", "x = y = 1", "x, *y = 1, 2, 3",
    "(x := 1)", "[x for x in range(3)]", "match 1:\n    case _:\n        pass", "break", "continue",
    "while True:\n    pass", "for q in T.serial(0):\n    pass", "if 1:\n    pass", "x += 1", "print('x')",
    "T.sync_threads()", "...", "lambda: 0", "for q in range(2):\n    break\nelse:\n    pass",
    "x = T.alloc_fragment((4,), 'float32')", "T.loop_break()", "x = T.alloc_shared((1 << 20,), 'float32')",
    "for q in T.Pipelined(3, num_stages=-1):\n    pass", "with T.Kernel(1, threads=32) as q:\n    pass",
    "for q in T.Parallel(0):\n    pass", "x = T.alloc_var('int32', 0)",
]  # fmt: skip
OPERATORS = (ast.Add, ast.Div, ast.LShift, ast.Pow, ast.MatMult, ast.Mod, ast.BitAnd, ast.FloorDiv, ast.Sub, ast.Mult)
COMPARISONS = (ast.Lt, ast.Eq, ast.In, ast.Is, ast.NotIn, ast.NotEq, ast.GtE)


@st.composite
def mutated_sources(draw: st.DrawFn, sources: Sequence[str] = tuple(SOURCES.values()), most: int = 3) -> str:
    """Source text of a kernel in which up to `most` nodes of the syntax tree are changed: names, words, constants,
    operators, arguments, indices; statements left out, doubled, swapped, moved inside others, or put in."""
    tree = ast.parse(draw(st.sampled_from(sources)))

    def pick(options: Any) -> Any:
        return draw(st.sampled_from(list(options)))

    for _ in range(draw(st.integers(1, most))):
        tree = copy.deepcopy(tree)
        functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
        nodes = [n for f in functions for s in f.body for n in ast.walk(s) if type(n) in _CHANGES]
        nodes += functions
        node = pick(nodes)
        names = sorted({n.id for f in functions for n in ast.walk(f) if isinstance(n, ast.Name)})
        _CHANGES[type(node)](node, pick, [*ODD, *names])
    return ast.unparse(ast.fix_missing_locations(tree))


def _expression(pick: Pick, names: Sequence[str]) -> ast.expr:
    parsed: ast.expr = ast.parse(pick(names), mode="eval").body
    return parsed


def _name(node: ast.Name, pick: Pick, names: Sequence[str]) -> None:
    node.id = pick([n for n in names if n.isidentifier() and n not in ("None", "True")])


def _attribute(node: ast.Attribute, pick: Pick, names: Sequence[str]) -> None:
    node.attr = pick([*WORDS, "shape", "dtype", "missing", "T", "astype"])


def _constant(node: ast.Constant, pick: Pick, names: Sequence[str]) -> None:
    node.value = pick([-3, 7, 2.5, "x", None, 0, True, 10**12, -(2**63), "float32", "int4", 1j, b"x", float("inf")])


def _operation(node: ast.BinOp | ast.AugAssign, pick: Pick, names: Sequence[str]) -> None:
    node.op = pick(OPERATORS)()


def _comparison(node: ast.Compare, pick: Pick, names: Sequence[str]) -> None:
    node.ops = [pick(COMPARISONS)() for _ in node.ops]


def _call(node: ast.Call, pick: Pick, names: Sequence[str]) -> None:
    change = pick(("fewer", "swap", "other", "more", "keyword", "unknown", "star"))
    if change == "unknown":
        node.keywords.append(ast.keyword(pick(("unknown", "dim", "threads", "transpose_A", "clear")), ast.Constant(1)))
    elif change == "star":
        node.args.append(ast.Starred(_expression(pick, names)))
    elif change == "keyword" and node.keywords:
        node.keywords[pick(range(len(node.keywords)))].value = _expression(pick, names)
    elif change == "more" or not node.args:
        node.args.append(_expression(pick, names))
    elif change == "fewer":
        node.args.pop(pick(range(len(node.args))))
    elif change == "swap":
        node.args.reverse()
    else:
        node.args[pick(range(len(node.args)))] = _expression(pick, names)


def _subscript(node: ast.Subscript, pick: Pick, names: Sequence[str]) -> None:
    if not isinstance(node.slice, ast.Tuple) or not node.slice.elts:
        node.slice = _expression(pick, names)
        return
    at = pick(range(len(node.slice.elts)))
    match pick(("other", "fewer", "more", "slice")):
        case "other":
            node.slice.elts[at] = _expression(pick, names)
        case "fewer":
            node.slice.elts.pop(at)
        case "more":
            node.slice.elts.append(_expression(pick, names))
        case _:
            bounds = [_expression(pick, names) if pick((0, 1)) else None for _ in range(3)]
            node.slice.elts[at] = ast.Slice(*bounds)


def _block(node: Any, pick: Pick, names: Sequence[str]) -> None:
    body: list[ast.stmt] = node.body
    at = pick(range(len(body)))
    match pick(("fewer", "twice", "swap", "put", "inside", "bare")):
        case "fewer" if len(body) > 1:
            body.pop(at)
        case "twice":
            body.insert(pick(range(len(body) + 1)), copy.deepcopy(body[at]))
        case "swap":
            other = pick(range(len(body)))
            body[at], body[other] = body[other], body[at]
        case "inside" if isinstance(body[at], ast.With | ast.For | ast.If | ast.While):
            body[at].body.append(copy.deepcopy(body[pick(range(len(body)))]))  # type: ignore[attr-defined]
        case "bare" if isinstance(body[at], ast.With | ast.For | ast.If | ast.While):
            body[at : at + 1] = body[at].body  # type: ignore[attr-defined]
        case _:
            body[at:at] = ast.parse(pick(STATEMENTS)).body


def _assignment(node: ast.Assign, pick: Pick, names: Sequence[str]) -> None:
    node.value = _expression(pick, names)


_CHANGES: dict[type, Callable[[Any, Pick, Sequence[str]], None]] = {
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Constant: _constant,
    ast.BinOp: _operation,
    ast.AugAssign: _operation,
    ast.Compare: _comparison,
    ast.Call: _call,
    ast.Subscript: _subscript,
    ast.Assign: _assignment,
    ast.With: _block,
    ast.For: _block,
    ast.If: _block,
    ast.While: _block,
    ast.FunctionDef: _block,
}

# ------------------------------------------------------------------------------------------------------------- IR text

TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[A-Za-z_]\w*|\d+\.\d+|->|\s+|\S')
_WORDS = """
alloc copy fill gemm reduce parallel for if else while break continue let async async_commit async_wait barrier shared
fragment local var global versions layout slot pipelined unrolled vectorized persistent stages cast shfl_xor min select
print assert assume view of move atomic barrier roles role bulk on await arrive expect fence hold settle init_barrier
set_registers tensor_copy bulk_move descriptor queue product store async_proxy by warps bytes sources
named_sync named_arrive
0 1 2 7 -1 3.5 nan inf true @ ( ) [ ] { } , : = + * // % ^ -> < == "x"
"""
VOCABULARY = [*_WORDS.split(), *DTYPES]
SMALL = Options(statements=3, launches=1)


@st.composite
def mutated_texts(draw: st.DrawFn, kernels: st.SearchStrategy[Kernel] | None = None, most: int = 3) -> str:
    """IR text of one of `kernels` (default: tile kernels) with up to `most` tokens or lines changed."""
    kernel = draw(kernels if kernels is not None else tile_kernels(SMALL).map(lambda p: p.kernel))
    source = text(kernel)
    for _ in range(draw(st.integers(1, most))):
        source = _changed_lines(draw, source) if draw(st.integers(0, 2)) == 0 else _changed_tokens(draw, source)
    return source


def _changed_tokens(draw: st.DrawFn, source: str) -> str:
    tokens = TOKEN.findall(source)
    solid = [i for i, t in enumerate(tokens) if not t.isspace()]
    if not solid:
        return source
    at = draw(st.sampled_from(solid))
    alike = [i for i in solid if _kind(tokens[i]) == _kind(tokens[at])]
    other = draw(st.sampled_from(alike if draw(st.integers(0, 3)) else solid))
    word = draw(st.sampled_from(VOCABULARY)) if draw(st.integers(0, 3)) == 0 else tokens[other]
    match draw(st.integers(0, 5)):
        case 0:
            tokens[at] = ""
        case 1:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case 2:
            tokens[at] += f" {word}"
        case _:
            tokens[at] = word
    return "".join(tokens)


def _kind(token: str) -> str:
    """What a token can be exchanged for so that the text still parses."""
    if token in DTYPES:
        return "dtype"
    return "name" if token[0].isalpha() else "number" if token[0].isdigit() else token


def _changed_lines(draw: st.DrawFn, source: str) -> str:
    lines = source.splitlines(keepends=True)
    at, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    match draw(st.integers(0, 2)):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case _:
            lines[at], lines[other] = lines[other], lines[at]
    return "".join(lines)


# ----------------------------------------------------------------------------------------------------------------- IR


@st.composite
def mutated_kernels(draw: st.DrawFn, kernels: st.SearchStrategy[Kernel] | None = None, most: int = 2) -> Kernel:
    """IR of one of `kernels` (default: tile kernels) with up to `most` nodes exchanged for others of their kind.

    Expressions, statements, constants, and the numbers, flags and names within statements. Most are no longer
    well-formed; those that are, are programs that nobody would write.
    """
    kernel = draw(kernels if kernels is not None else tile_kernels(SMALL).map(lambda p: p.kernel))
    for _ in range(draw(st.integers(1, most))):
        kernel = _changed(draw, kernel)
    return kernel


def _changed(draw: st.DrawFn, kernel: Kernel) -> Kernel:
    found = [n for n in walk(kernel) if isinstance(n, Expr | Stmt | Buffer) and not isinstance(n, Var)]
    old = draw(st.sampled_from(found))
    if isinstance(old, Buffer):
        new: Any = _changed_buffer(draw, old)
    elif draw(st.booleans()):
        new = _changed_field(draw, old)
    else:
        kind = Expr if isinstance(old, Expr) else Stmt
        new = draw(st.sampled_from([n for n in found if isinstance(n, kind)]))
    first = draw(st.booleans())  # one place only, or all that are the same

    done = False

    def visit(node: Node) -> Node | tuple[Node, ...]:
        nonlocal done
        if node is old and not (first and done):
            done = True
            return new  # type: ignore[no-any-return]
        return map_children(node, visit)

    result = visit(kernel)
    assert isinstance(result, Kernel)
    return result


def _changed_buffer(draw: st.DrawFn, b: Buffer) -> Buffer:
    match draw(st.integers(0, 3)):
        case 0:
            return replace(b, dtype=draw(st.sampled_from(list(DTYPES.values()))))
        case 1:
            return replace(b, shape=tuple(draw(st.sampled_from([e, 1, 3, 0, 16])) for e in b.shape))
        case 2:
            return replace(b, versions=draw(st.integers(0, 3)))
        case _:
            return replace(b, space=draw(st.sampled_from(list(type(b.space)))))


_WORDS_IN_FIELDS = """
sum max add xor square full_row ieee tf32 relaxed acquire + // < & copy product store threads warpgroups one async_proxy
"""
_TEXTS = ["", *_WORDS_IN_FIELDS.split()]


def _changed_field(draw: st.DrawFn, node: Any) -> Any:
    """`node` with one of its plain values changed."""
    if isinstance(node, Const):
        return replace(node, value=draw(st.sampled_from([0, 1, -1, 2, 7, 1 << 40, 2.5, True])))
    plain = [f.name for f in fields(node) if type(getattr(node, f.name)) in (bool, int, str) and f.name != "span"]
    if not plain:
        return node
    name = draw(st.sampled_from(plain))
    value: Any = getattr(node, name)
    match value:
        case bool():
            value = not value
        case int():
            value = draw(st.sampled_from([0, 1, 2, 3, -1, 16]))
        case _:
            value = draw(st.sampled_from(_TEXTS))
    changed: Callable[..., Any] = replace
    return changed(node, **{name: value})
