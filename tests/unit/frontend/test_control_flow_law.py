"""Law: control flow and assignment mean in a kernel what they mean in Python.

Random programs over three mutable variables are run by Python and, traced, by the tile-stage interpreter.
"""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiledsl.cpu.tile_interp import run
from tiledsl.frontend.trace import trace_kernel
from tiledsl.ir.verify import verify

VARIABLES = ("a", "b", "c")
atoms = st.one_of(st.sampled_from((*VARIABLES, "n", "2")), st.integers(-9, 9).map(lambda v: f"({v})"))


@st.composite
def expressions(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return str(draw(atoms))
    x, y = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    forms = (
        "({x} + {y})",
        "({x} - {y})",
        "({x} * {y} % 97)",
        "({x} // 3)",
        "({x} % 5)",
        "(-{x})",
        "({x} if {t} else {y})",
    )
    return draw(st.sampled_from(forms)).format(x=x, y=y, t=draw(conditions(depth - 1)))


@st.composite
def conditions(draw: st.DrawFn, depth: int = 1) -> str:
    x, y, z = (draw(expressions(0)) for _ in range(3))
    if depth and draw(st.booleans()):
        p, q = draw(conditions(depth - 1)), draw(conditions(depth - 1))
        return draw(st.sampled_from((f"({p} and {q})", f"({p} or {q})", f"(not {p})")))
    return draw(st.sampled_from((f"{x} < {y}", f"{x} == {y}", f"{x} <= {y} < {z}", f"{x} != {y}", f"{x} >= {y} > {z}")))


@st.composite
def blocks(draw: st.DrawFn, depth: int, in_loop: bool, loops: tuple[str, ...]) -> list[str]:
    out: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        out += draw(statements(depth, in_loop, loops))
    return out


@st.composite
def statements(draw: st.DrawFn, depth: int, in_loop: bool, loops: tuple[str, ...]) -> list[str]:
    kinds = (
        ["assign", "augment", "let", "swap"]
        + (["if", "for", "while"] if depth else [])
        + (["leave"] if in_loop else [])
    )
    value, target = draw(expressions()), draw(st.sampled_from(VARIABLES))
    match draw(st.sampled_from(kinds)):
        case "assign":
            return [f"{target} = {value} % 1000"]
        case "augment":
            return [f"{target} {draw(st.sampled_from(('+=', '-=')))} {value} % 1000"]
        case "let":
            return [f"x = {value}", f"{target} = x % 1000 - {target} % 10", "x = x + 1", f"{target} += x % 100"]
        case "swap":
            return [f"a, b, c = {', '.join(draw(st.permutations(VARIABLES)))}"]
        case "leave":
            return [f"if {draw(conditions())}:", f"    {draw(st.sampled_from(('break', 'continue')))}"]
        case "if":
            out = [f"if {draw(conditions())}:", *indented(draw(blocks(depth - 1, in_loop, loops)))]
            if draw(st.booleans()):
                out += [f"elif {draw(conditions())}:", *indented(draw(blocks(depth - 1, in_loop, loops)))]
            return out + (["else:", *indented(draw(blocks(depth - 1, in_loop, loops)))] if draw(st.booleans()) else [])
        case "for":
            variable = f"i{len(loops)}"
            bounds = draw(st.sampled_from(("3", "1, 4", "5, 0, -2", "a % 4", "b % 3, 5, 2", "n, n + 3")))
            body = draw(blocks(depth - 1, True, (*loops, variable)))
            return [f"for {variable} in range({bounds}):", f"    {target} += {variable}", *indented(body)]
        case _:
            # The counter makes every loop end, `continue` or not.
            body = draw(blocks(depth - 1, True, loops))
            limit = draw(st.integers(1, 4))
            return [f"while t < 40 and t % 5 < {limit}:", "    t += 1", *indented(body), "t += 1"]


def indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


TEMPLATE = """
import tiledsl.language as T

def plain(n):
    a, b, c, t = n, 1, 2, 0
{python}
    return [a, b, c, t]

def kernel(n: T.int64, R: T.Tensor((4,), "int64")):
    with T.Kernel(1, threads=32):
        a, b = T.alloc_var("int64", n), T.alloc_var("int64", 1)
        c, t = T.alloc_var("int64", init=2), T.alloc_var("int64", init=0)
{traced}
        R[0], R[1], R[2], R[3] = a, b, c, t
"""


def module_of(directory: Path, body: list[str]) -> ModuleType:
    python, traced = (textwrap.indent("\n".join(body), " " * width) for width in (4, 8))
    path = directory / f"program_{abs(hash(python))}.py"
    path.write_text(TEMPLATE.format(python=python, traced=traced))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@settings(max_examples=60)
@given(body=blocks(3, False, ()), n=st.integers(-20, 20))
def test_traced_programs_compute_what_python_computes(directory: Path, body: list[str], n: int) -> None:
    module = module_of(directory, body)
    kernel = trace_kernel(module.kernel, {}, {})
    verify(kernel)
    result = np.zeros(4, np.int64)
    run(kernel, {"n": n, "R": result})
    assert result.tolist() == module.plain(n)
