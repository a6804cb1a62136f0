"""ruff and mypy --strict are part of the tests, and so are the sizes of files and functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_FILE, MAX_FUNCTION = 400, 60
# Named exceptions, each with its reason.
LONG_FILES = {
    "tiledsl/catalogue.py": "a table of messages",
    "tiledsl/ir/nodes.py": "the vocabulary, read as one page",
}
LONG_FUNCTIONS: dict[str, str] = {}


def test_ruff() -> None:
    out = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stdout + out.stderr


def test_formatted() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert out.returncode == 0, out.stdout + out.stderr


def test_mypy_strict() -> None:
    out = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stdout + out.stderr


def test_files_and_functions_are_readable() -> None:
    offences = []
    for path in sorted((ROOT / "tiledsl").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text()
        lines = text.count("\n")
        if lines > MAX_FILE and name not in LONG_FILES:
            offences.append(f"{name} has {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > MAX_FUNCTION and f"{name}:{node.name}" not in LONG_FUNCTIONS:
                    offences.append(f"{name}:{node.lineno}: {node.name} has {length} lines")
    assert not offences, "\n".join(offences)
