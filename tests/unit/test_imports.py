"""The arrows of docs/architecture.md: who may import whom, and which third party is loaded where."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "tiledsl"

# room -> the rooms it may import (besides itself)
CORE = {"catalogue", "errors", "settings", "target", "cache"}
ALLOWED: dict[str, set[str]] = {
    "catalogue": set(),
    "settings": {"errors"},
    "errors": {"catalogue"},
    "target": {"errors"},
    "cache": {"errors", "settings"},
    "tensor_map": {"errors"},
    "ir": {"errors"},
    "isa": {"errors", "target", "ir"},
    "nibbles": {"errors"},
    "sparse": {"errors", "isa"},
    "analysis": {"errors", "target", "ir", "isa"},
    "verifiers": {"errors", "target", "ir", "isa"},  # of plans: they share no code with who made them
    "passes": {"errors", "target", "ir", "isa", "analysis", "verifiers"},
    "frontend": {"errors", "ir"},
    "language": {"errors", "ir", "isa", "frontend", "analysis", "tensor_map"},
    "codegen": {"errors", "ir", "isa"},
    "cpu": {"errors", "settings", "cache", "tensor_map", "ir", "isa"},
    "runtime": {"errors", "settings", "cache", "tensor_map"},
    "validation": {*CORE, "ir", "isa", "analysis", "passes", "verifiers", "codegen", "cpu", "tensor_map"},
    "compile": {*CORE, "ir", "codegen", "passes", "runtime", "validation"},
    "report": {*CORE, "ir", "isa", "analysis", "compile", "runtime"},
    "backends": {*CORE, "compile", "cpu", "runtime"},
    "checking": {*CORE, "ir", "analysis", "compile", "cpu", "runtime", "validation", "backends"},
    "profiling": {*CORE, "ir", "compile", "cpu", "runtime", "backends", "checking", "report"},
    "decorator": {*CORE, "ir", "frontend", "compile", "backends", "checking", "profiling", "report", "runtime"},
    "testing": {
        *CORE,
        "ir",
        "isa",
        "analysis",
        "frontend",
        "language",
        "decorator",
        "backends",
        "runtime",
        "cpu",
        "passes",
    }
    | {"compile", "codegen", "validation", "verifiers", "checking", "profiling", "tensor_map", "nibbles"},
    "tuning": {*CORE, "ir", "frontend", "compile", "cpu", "runtime", "backends", "checking", "validation", "report"}
    | {"profiling", "decorator", "testing"},
    # On top of everything; nothing imports it.
    "compat": {
        *CORE,
        "ir",
        "frontend",
        "language",
        "decorator",
        "checking",
        "profiling",
        "tuning",
        "testing",
        "runtime",
    },
    "viewer": {*CORE, "ir", "analysis", "passes", "compile", "cpu", "report"},
    "tools": {*CORE, "ir", "isa", "analysis", "passes", "codegen", "cpu", "runtime", "frontend", "language", "compile"}
    | {"validation", "backends", "checking", "profiling", "decorator", "report", "testing", "tuning", "viewer"},
    "cli": {"errors", "settings", "tools"},
    "__init__": {"errors", "decorator", "language", "testing", "backends", "runtime", "cpu", "profiling", "tuning"},
    "__main__": {"cli"},
}
# A pass never imports another pass: these files of passes/ are what passes are made of.
PASS_PARTS = {"base", "facts", "observers", "placed", "scoped"}
THIRD_PARTIES: dict[str, set[str]] = {
    "lark": {"ir/parser.py"},
    "cuda": {"runtime/"},
    "numpy": {
        "analysis/",
        "cpu/",
        "isa/",
        "passes/",
        "verifiers/",
        "runtime/arguments.py",
        "testing/",
        "tools/",
        "validation/",
        "backends.py",
        "checking/",
        "report/",
        "tuning/",
        "compat/",
        "sparse.py",
        "nibbles.py",
    },
    "ml_dtypes": {
        "nibbles.py",
        "analysis/",
        "cpu/",
        "isa/",
        "runtime/arguments.py",
        "testing/",
        "validation/",
        "checking/",
    },
    "hypothesis": {"testing/strategies/", "testing/laws/"},
    "rich": {"tuning/progress.py"},
    "tqdm": {"tuning/progress.py"},
    "filelock": {"cache/"},
    "platformdirs": {"cache/"},
    "jinja2": {"viewer/page.py"},
    "pygments": {"viewer/colours.py", "viewer/page.py"},
}


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(module, line, whether inside a function) of every import, those for type checking left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(n)
        for t in ast.walk(tree)
        if isinstance(t, ast.If) and ast.unparse(t.test) == "TYPE_CHECKING"
        for n in ast.walk(t)
    }
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in inside
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno, id(node) in inside
            if node.module == "tiledsl" or node.module.count(".") == 1:
                for alias in node.names:
                    yield f"{node.module}.{alias.name}", node.lineno, id(node) in inside


def files() -> list[Path]:
    return sorted(p for p in ROOT.rglob("*.py"))


def room(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def test_every_room_is_in_the_plan() -> None:
    assert {room(p) for p in files()} <= ALLOWED.keys()


def test_imports_point_to_the_left() -> None:
    offences = []
    for path in files():
        here = room(path)
        for module, line, _ in imports(path):
            parts = module.split(".")
            if parts[0] == "tiledsl" and len(parts) > 1 and parts[1] in ALLOWED:
                there = parts[1]
                if there != here and there not in ALLOWED[here]:
                    offences.append(f"{path.relative_to(ROOT)}:{line}: {here} must not import {there}")
    assert not offences, "\n".join(offences)


def test_no_pass_imports_a_pass() -> None:
    offences = []
    for path in (ROOT / "passes").rglob("*.py"):
        here = path.relative_to(ROOT / "passes").parts[0].removesuffix(".py")
        if here == "pipeline":  # the list of them all
            continue
        for module, line, _ in imports(path):
            parts = module.split(".")
            if parts[:2] == ["tiledsl", "passes"] and len(parts) > 2 and parts[2] not in {here, *PASS_PARTS}:
                offences.append(f"{path.relative_to(ROOT)}:{line}: imports the pass {parts[2]}")
    assert not offences, "\n".join(offences)


def test_third_parties_stay_in_their_rooms() -> None:
    offences = []
    for path in files():
        name = str(path.relative_to(ROOT))
        for module, line, _ in imports(path):
            rooms = THIRD_PARTIES.get(module.split(".")[0])
            if rooms is not None and not any(name.startswith(r) for r in rooms):
                offences.append(f"{name}:{line}: {module} is imported outside {sorted(rooms)}")
    assert not offences, "\n".join(offences)


def test_import_tiledsl_loads_no_third_party() -> None:
    parties = "('numpy', 'lark', 'ml_dtypes', 'cuda', 'jinja2', 'pygments', 'filelock', 'rich')"
    code = f"import sys, tiledsl, tiledsl.language; print([m for m in {parties} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_no_hidden_state_outside_the_tracer() -> None:
    """One context variable, in frontend/tracer.py; everything else is a parameter."""
    offences = []
    for path in files():
        if path.relative_to(ROOT).as_posix() == "frontend/tracer.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Global) or (
                isinstance(node, (ast.Attribute, ast.Name)) and ast.unparse(node) in ("threading.local", "ContextVar")
            ):
                offences.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert not offences, "\n".join(offences)
