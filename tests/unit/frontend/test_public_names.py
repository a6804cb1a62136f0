"""`import tiledsl` is cheap, and its names are what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tiledsl


def in_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_one_module_of_ours() -> None:
    assert in_python("import sys, tiledsl; print([m for m in sys.modules if m.startswith('tiledsl')])") == "['tiledsl']"


def test_import_loads_no_slow_module_of_python() -> None:
    slow = "('typing', 'dataclasses', 'inspect', 're', 'enum', 'ast')"
    bare = set(in_python(f"import sys; print(*[m for m in {slow} if m in sys.modules])").split())
    ours = set(in_python(f"import sys, tiledsl; print(*[m for m in {slow} if m in sys.modules])").split())
    assert ours == bare


@pytest.mark.parametrize("name", tiledsl.__all__)
def test_public_names_exist(name: str) -> None:
    assert getattr(tiledsl, name) is not None and name in dir(tiledsl)


def test_other_names_do_not() -> None:
    assert not hasattr(tiledsl, "prim_func")
