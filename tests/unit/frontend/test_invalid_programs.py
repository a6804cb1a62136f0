"""Law: whatever is wrong in a kernel is a TileError with a place, never a bug of the tracer or a bare Python error.

Valid kernels are mutated at their syntax tree: names, words, constants, operators, arguments, statements.
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiledsl.language as T
from tiledsl.errors import NOWHERE, TileError, VerifyError
from tiledsl.frontend.trace import TensorSpec, trace_kernel
from tiledsl.ir.verify import verify

SEEDS = sorted((Path(__file__).parents[2] / "golden" / "trace").glob("*.py"))
WORDS = [name for name in T.__all__ if not name.startswith("_")]
ODD = [
    "None",
    "-1",
    "0",
    "1.5",
    "'text'",
    "[]",
    "(1, 2)",
    "10**12",
    "True",
    "lambda x: x",
    "float('nan')",
    "{}",
    "T",
    "...",
]


def mutated(tree: ast.Module, rng: random.Random) -> str:
    """The source with one node of the kernel or of one of its macros changed."""
    tree = copy.deepcopy(tree)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name not in ("inputs", "reference")]
    nodes = [n for f in functions for s in f.body for n in ast.walk(s)]
    names = sorted({n.id for n in nodes if isinstance(n, ast.Name)})
    while True:
        node = rng.choice(nodes)
        match node:
            case ast.Name():
                node.id = rng.choice(names)
            case ast.Attribute():
                node.attr = rng.choice([*WORDS, "shape", "dtype", "missing"])
            case ast.Constant():
                new = ast.parse(rng.choice(ODD), mode="eval").body
                node.value = new.value if isinstance(new, ast.Constant) else rng.choice([-3, 7, 2.5, "x", None])
            case ast.BinOp():
                node.op = rng.choice(
                    [ast.Add(), ast.Div(), ast.LShift(), ast.Pow(), ast.MatMult(), ast.Mod(), ast.BitAnd()]
                )
            case ast.Compare():
                node.ops = [rng.choice([ast.Lt(), ast.Eq(), ast.In(), ast.Is(), ast.NotIn()]) for _ in node.ops]
            case ast.Call() if node.args:
                match rng.randrange(4):
                    case 0:
                        node.args.pop(rng.randrange(len(node.args)))
                    case 1:
                        rng.shuffle(node.args)
                    case 2:
                        node.args[rng.randrange(len(node.args))] = ast.parse(rng.choice(ODD), mode="eval").body
                    case 3:
                        node.keywords.append(ast.keyword("unknown", ast.Constant(1)))
            case ast.Subscript() if isinstance(node.slice, ast.Tuple):
                node.slice.elts[rng.randrange(len(node.slice.elts))] = ast.parse(rng.choice(ODD), mode="eval").body
            case ast.With() | ast.For() | ast.If():
                rng.shuffle(node.body)
            case ast.Assign():
                node.value = ast.parse(rng.choice([*ODD, *names]), mode="eval").body
            case _:
                continue
        return ast.unparse(ast.fix_missing_locations(tree))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutants")


@settings(max_examples=150)
@given(seed=st.integers(0, 1 << 30), path=st.sampled_from(SEEDS))
def test_mutants_compile_or_raise_a_located_error(directory: Path, seed: int, path: Path) -> None:
    source = mutated(ast.parse(path.read_text()), random.Random(seed))
    file = directory / f"mutant_{path.stem}_{seed}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tensors = {n: TensorSpec(*given_) for n, given_ in getattr(module, "TENSORS", {}).items()}
    try:
        kernel = trace_kernel(module.kernel, getattr(module, "STATIC", {}), tensors)
    except TileError as problem:
        assert problem.code != "TD0001", f"{problem}\n{source}"
        assert problem.span is not NOWHERE and problem.span.file == str(file), f"{problem}\n{source}"
        assert str(problem) and problem.message
        return
    try:
        verify(kernel)
    except VerifyError as problem:
        raise AssertionError(f"{problem}\n{source}") from problem
